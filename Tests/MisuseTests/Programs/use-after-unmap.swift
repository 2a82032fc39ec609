import DMA

func misuse(_ mapping: consuming StreamingMapping<ToDevice>) -> DMAAddress {
  let m = mapping  // expected-error {{'m' used after consume}}
  _ = m.unmap()  // expected-note {{consumed here}}
  return m.address  // expected-note {{used here}}
}
