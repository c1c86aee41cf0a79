"""What methods of Keras 3 accept beyond Keras, so that scripts for bert4keras run. docs/migrate.md lists it."""
