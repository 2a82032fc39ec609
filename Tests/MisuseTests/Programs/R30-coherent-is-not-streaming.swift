import DMA

func misuse(_ ring: consuming CoherentBuffer<UInt32>) {
  _ = ring.unmap()  // expected-error {{value of type 'CoherentBuffer<UInt32>' has no member 'unmap'}}
}
