import DMA

func program(_ address: DMAAddress) {}

func misuse(_ physical: PhysicalAddress) {
  program(physical)  // expected-error {{cannot convert value of type 'PhysicalAddress' to expected argument type 'DMAAddress'}}
}
