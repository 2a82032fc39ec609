import DMA

func misuse(_ buffer: consuming StreamingBuffer, _ device: DMADevice) {
  var b = buffer  // expected-error {{'b' used after consume}}
  let result = b.map(FromDevice.self, for: device)  // expected-note {{consumed here}}
  var bytes = b.mutableBytes  // expected-note {{used here}}
  bytes.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
  _ = consume result
}
