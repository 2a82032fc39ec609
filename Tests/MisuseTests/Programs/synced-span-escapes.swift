import DMA

func misuse(_ m: borrowing StreamingMapping<FromDevice>) {
  let bytes: RawSpan = m.withBytesSyncedForCPU { $0 }  // expected-error {{requires that 'RawSpan' conform to 'Escapable'}}
  print(bytes.byteCount)
}
