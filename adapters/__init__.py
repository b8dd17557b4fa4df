"""What speaks the languages of others: agents (`*.sh`) and the dialects of model APIs."""
