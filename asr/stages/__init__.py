"""The stages of a recipe, a module each: `inputs` tells what a stage reads, `work` does it and names what it wrote."""
