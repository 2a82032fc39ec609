import DMA
import DMAMapping
import Testing

/// What may stand between a device and memory: each legal program runs over every one.
enum Setup: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case direct

  var testDescription: String { rawValue }

  func mapping(_ platform: Platform) -> DMAMapping {
    switch self {
    case .direct: DirectMapping.make(for: platform)
    }
  }
}
