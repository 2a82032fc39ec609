runFirmware()
