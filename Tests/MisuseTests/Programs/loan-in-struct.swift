import DMA

struct Misuse: ~Copyable {  // expected-note {{consider adding '~Escapable' to struct 'Misuse'}}
  let loan: MappedBytes<ToDevice>  // expected-error {{has non-Escapable type}} expected-error {{cannot return a ~Escapable result}}
}
