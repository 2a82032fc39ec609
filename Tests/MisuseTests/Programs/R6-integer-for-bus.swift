import DMA

func program(_ address: DMAAddress) {}

func misuse(_ pointer: UnsafeMutableRawPointer) {
  program(0x1000)  // expected-error {{cannot convert value of type 'Int' to expected argument type 'DMAAddress'}}
  program(pointer)  // expected-error {{cannot convert value of type 'UnsafeMutableRawPointer' to expected argument type 'DMAAddress'}}
}
