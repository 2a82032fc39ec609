/// What a row came to.
struct Result {
  let row: Row
  var samples: Samples?
  /// Why there are none.
  var reason: String?
  var instructions: Double?
  var peerInstructions: Double?

  /// nil when the row has no goal or no figures.
  ///
  /// A ratio counts when medians and bests agree within 15 %; where they do not, the better one is
  /// not enough: both must meet the goal.
  var meetsGoal: Bool? {
    if case .instructions(let limit) = row.goal { return instructions.map { $0 <= limit } }
    guard let samples else { return nil }
    switch row.goal {
    case .ratio(let limit):
      return samples.ratioOfMedians <= limit
        || (samples.ratioOfBests <= limit && samples.ratioOfMedians <= limit * 1.15)
    case .nanoseconds(let limit): return Samples.median(samples.ours) <= limit
    case .added(let limit):
      return Samples.median(samples.ours) - Samples.median(samples.peer) <= limit
    case .instructions, .none: return nil
    }
  }
}

func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

func aligned(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

func decimal(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return "-" }
  var scale = 1
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int((value * Double(scale)).rounded())
  guard digits > 0 else { return String(scaled) }
  let fraction = String(scaled % scale)
  return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
}

extension Goal {
  var text: String {
    switch self {
    case .ratio(let limit): "<= \(decimal(limit, 2))"
    case .nanoseconds(let limit): "<= \(decimal(limit, 0)) ns"
    case .added(let limit): "<= +\(decimal(limit, 0)) ns"
    case .instructions(let limit): "<= \(decimal(limit, 0))"
    case .none: ""
    }
  }
}

let header =
  padded("row", 4) + padded("what", 52) + padded("against", 18) + aligned("ours", 9)
  + aligned("peer", 9) + aligned("ratio", 7) + aligned("bests", 7) + "  " + padded("goal", 11)
  + "met"

func line(_ result: Result) -> String {
  let row = result.row
  var text =
    padded(String(row.number), 4) + padded(row.what, 52) + padded(row.peerName, 18)
  if let ours = result.instructions {
    text += aligned(decimal(ours, 1), 9)
    text += aligned(result.peerInstructions.map { decimal($0, 1) } ?? "-", 9)
    text += aligned(decimal(ours / (result.peerInstructions ?? .nan), 2), 7) + padded("", 9)
    text += padded(row.goal.text, 11) + (result.meetsGoal == true ? "yes" : "NO")
    return text
  }
  guard let samples = result.samples else { return text + (result.reason ?? "") }
  text += aligned(decimal(Samples.median(samples.ours), 2), 9)
  text += aligned(decimal(Samples.median(samples.peer), 2), 9)
  text += aligned(decimal(samples.ratioOfMedians, 2), 7)
  text += aligned(decimal(samples.ratioOfBests, 2), 7)
  text += "  " + padded(row.goal.text, 11)
  text += padded(result.meetsGoal.map { $0 ? "yes" : "NO" } ?? "", 5)
  return text
}

/// One object a row; numbers are nanoseconds for one operation unless named otherwise.
func json(_ results: [Result]) -> String {
  func quoted(_ text: String) -> String {
    "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
  }
  let objects = results.map { result in
    var fields = [
      "\"row\": \(result.row.number)", "\"what\": \(quoted(result.row.what))",
      "\"peer\": \(quoted(result.row.peerName))", "\"goal\": \(quoted(result.row.goal.text))",
    ]
    if let samples = result.samples {
      func list(_ values: [Double]) -> String {
        "[" + values.map { decimal($0, 4) }.joined(separator: ", ") + "]"
      }
      fields += [
        "\"ours_ns\": \(list(samples.ours))", "\"peer_ns\": \(list(samples.peer))",
        "\"ratio_of_medians\": \(decimal(samples.ratioOfMedians, 4))",
        "\"ratio_of_bests\": \(decimal(samples.ratioOfBests, 4))",
      ]
    }
    if let reason = result.reason { fields.append("\"unmeasured\": \(quoted(reason))") }
    if let met = result.meetsGoal { fields.append("\"met\": \(met)") }
    if let count = result.instructions { fields.append("\"instructions\": \(decimal(count, 1))") }
    if let count = result.peerInstructions {
      fields.append("\"peer_instructions\": \(decimal(count, 1))")
    }
    return "  {" + fields.joined(separator: ", ") + "}"
  }
  return "[\n" + objects.joined(separator: ",\n") + "\n]"
}
