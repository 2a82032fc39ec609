import DMA

func misuse(_ buffer: borrowing StreamingBuffer, _ device: DMADevice, _ handle: DMAAddress) {
  _ = buffer.physicalAddress  // expected-error {{value of type 'StreamingBuffer' has no member 'physicalAddress'}}
  _ = UnsafeRawPointer(handle)  // expected-error {{}}
  _ = device.pointer(for: handle)  // expected-error {{value of type 'DMADevice' has no member 'pointer'}}
}
