"""Language models: counted n-grams and a recurrent network, over words or characters."""
