import DMA

func misuse(_ error: DMAError) -> Bool {
  switch error {  // expected-error {{switch must be exhaustive}} expected-note *{{add missing case}}
  case .emptyRequest: true
  }
}
