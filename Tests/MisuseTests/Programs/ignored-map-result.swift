import DMA

func misuse(_ buffer: consuming StreamingBuffer, _ device: DMADevice) {
  buffer.map(ToDevice.self, for: device)  // expected-warning {{result of call to 'map(_:for:file:line:)' is unused}}
}
