import DMA

func misuse(_ mapping: consuming StreamingMapping<ToDevice>) {
  let m = mapping  // expected-error {{'m' consumed more than once}}
  _ = m.unmap()  // expected-note {{consumed here}}
  _ = m.unmap()  // expected-note {{consumed again here}}
}
