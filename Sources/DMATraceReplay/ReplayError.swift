package import DMA
package import DMATrace
package import SimulatedMachine

/// Why a trace cannot be replayed on a platform.
package enum ReplayError: Error {
  /// The trace cannot be read.
  case trace(TraceInputError)
  /// The machine cannot be built like that.
  case machine(SimulatedMachineError)
  /// The mapping cannot serve a device: a mask too narrow for it, or a pool larger than memory.
  case platform(DMAError)
}

extension ReplayError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .trace(let error): "\(error)"
    case .machine(let error): "no such machine: \(error)"
    case .platform(let error): "no such platform: \(error)"
    }
  }
}
