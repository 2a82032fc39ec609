import DMA

func misuse(_ m: borrowing StreamingMapping<ToDevice>) {
  m.withBytesSyncedForCPU { _ in }  // expected-error {{requires that 'ToDevice' conform to 'DeviceWrites'}}
}
