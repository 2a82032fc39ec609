import DMA

func misuse(_ buffer: consuming StreamingBuffer, _ device: DMADevice) {
  let b = buffer
  let bytes = b.bytes
  let result = b.map(ToDevice.self, for: device)  // expected-error {{cannot be consumed when captured by an escaping closure or borrowed by a non-Escapable type}}
  print(bytes.byteCount)
  _ = consume result
}
