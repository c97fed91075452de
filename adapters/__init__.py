"""The venues that come with the project. They import `dexexec.venue` and `dexexec.domain`, and nothing imports them."""
