/// How sure one can be of what a replay should give, and how often it did.
///
/// Only a replay on a platform like the traced one is compared.
package struct ReplayAgreement: Sendable {
  /// Where the expected value comes from.
  package enum Certainty: Int, CaseIterable, Sendable {
    /// The trace and the machine's facts say it.
    case exact
    /// It follows from the trace by a rule that is printed.
    case inferred
    /// It depends on what no trace shows.
    case undeterminable
  }

  /// What is compared.
  package enum Aspect: String, CaseIterable, Sendable {
    case busAddress = "bus address equals the memory's"
    case bounces = "bounced, or passed through"
    case place = "place within the page, behind an IOMMU"
    case segments = "segments and their lengths"
    case bouncesByRule = "bounced or not, by the mask that explains the trace"
    case slotPlace = "place within the slot, by what the device's copies keep"
    case below4GiB = "below 4 GiB behind an IOMMU, while there is room"
    case segmentsByRule = "segments and lengths, by the longest segment seen"
    case slot = "which slots of the pool"
    case busPage = "which pages behind an IOMMU"
    case failure = "calls that failed: the mask of that moment is not in a trace"
    case merged = "lists merged behind an IOMMU: lengths of their entries are not in a trace"
    case truncated = "entries of long lists that the trace cut off"
    case coherent = "where allocated memory lies"

    package var certainty: Certainty {
      switch self {
      case .busAddress, .bounces, .place, .segments: .exact
      case .bouncesByRule, .slotPlace, .below4GiB, .segmentsByRule: .inferred
      case .slot, .busPage, .failure, .merged, .truncated, .coherent: .undeterminable
      }
    }
  }

  package struct Count: Sendable {
    package var agreed = 0
    package var differed = 0
    /// The line of the first that differed.
    package var firstLine: UInt64?
  }

  private var counts = [Count](repeating: Count(), count: Aspect.allCases.count)

  package init() {}

  package subscript(aspect: Aspect) -> Count {
    counts[Aspect.allCases.firstIndex(of: aspect) ?? 0]
  }

  mutating func note(_ aspect: Aspect, _ agrees: Bool, line: UInt64) {
    guard let index = Aspect.allCases.firstIndex(of: aspect) else { return }
    if agrees {
      counts[index].agreed += 1
    } else {
      counts[index].differed += 1
      if counts[index].firstLine == nil { counts[index].firstLine = line }
    }
  }

  /// Comparisons of one class: how many, and how many agreed.
  package func total(_ certainty: Certainty) -> (agreed: Int, count: Int) {
    var result = (agreed: 0, count: 0)
    for aspect in Aspect.allCases where aspect.certainty == certainty {
      result.agreed += self[aspect].agreed
      result.count += self[aspect].agreed + self[aspect].differed
    }
    return result
  }
}
