"""The parts that all venues with on-chain pools share: pool search, options, start-up checks and the venue itself."""
