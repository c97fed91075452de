"""What venues that quote from on-chain pools share: pool search, options, start-up checks, the venue itself."""
