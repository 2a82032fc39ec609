import DMA

func later(_ body: @escaping () -> Void) {}

func misuse(_ m: consuming StreamingMapping<ToDevice>) {
  later { _ = m.unmap() }  // expected-error {{noncopyable 'm' cannot be consumed when captured by an escaping closure}}
}
