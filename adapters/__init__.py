"""The venues of this repository. Entry points load them; they import only `dexexec.venue` and `dexexec.domain`."""
