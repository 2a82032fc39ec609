import DMA

func misuse(_ m: borrowing StreamingMapping<ToDevice>) {  // expected-error {{'m' is borrowed and cannot be consumed}}
  let copy = m  // expected-note {{consumed here}}
  _ = consume copy
}
