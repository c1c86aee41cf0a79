"""Extensions of Keras 3's methods, so that scripts for bert4keras run. docs/migrate.md lists them."""
