import DMA

func misuse(_ m: consuming StreamingMapping<ToDevice>) {
  _ = m.unmap(FromDevice.self)  // expected-error {{missing argument label 'file:' in call}} expected-error {{cannot convert value of type 'FromDevice.Type'}}
}
