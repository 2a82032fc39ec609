import DMA

func misuse(_ m: inout StreamingMapping<FromDevice>) {
  m.withMutableBytesSyncedForCPU { _ in }  // expected-error {{requires that 'FromDevice' conform to 'DeviceReads'}}
}
