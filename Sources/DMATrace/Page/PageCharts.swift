/// Charts as inline SVG that takes its colours from the page.
enum PageCharts {
  static let width = 640.0
  static let height = 150.0
  private static let left = 56.0
  private static let bottom = 20.0

  /// A number with at most one digit behind the point, and a unit letter.
  static func short(_ value: Double) -> String {
    let units = ["", "K", "M", "G", "T"]
    var value = value
    var unit = 0
    while value >= 1000, unit < 4 {
      value /= 1000
      unit += 1
    }
    let tenths = Int((value * 10).rounded())
    return
      (tenths % 10 == 0 || tenths >= 100
      ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)") + units[unit]
  }

  private static func place(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(abs(tenths % 10))"
  }

  private static func frame(
    _ title: String, _ top: String, _ from: String, _ to: String,
    _ body: String
  ) -> String {
    "<figure><figcaption>\(title)</figcaption>"
      + "<svg viewBox=\"0 0 640 150\" role=\"img\" aria-label=\"\(title)\">"
      + "<line class=\"axis\" x1=\"56\" y1=\"130\" x2=\"636\" y2=\"130\"/>"
      + "<text x=\"50\" y=\"16\" text-anchor=\"end\">\(top)</text>"
      + "<text x=\"50\" y=\"130\" text-anchor=\"end\">0</text>"
      + "<text x=\"56\" y=\"146\">\(from)</text>"
      + "<text x=\"636\" y=\"146\" text-anchor=\"end\">\(to)</text>\(body)</svg></figure>"
  }

  /// Values over time, one line each, and a limit, if there is one, as a dashed line.
  ///
  /// A limit far above all values would leave nothing of them to see: it is then drawn at the top,
  /// which is marked as broken off.
  static func lines(
    _ title: String, _ series: [(name: String, values: [Double])], from: String, to: String,
    limit: (value: Double, name: String)? = nil
  ) -> String {
    let values = series.flatMap(\.values).max() ?? 0
    guard values > 0 else { return "" }
    var highest = values
    var body = ""
    if let limit {
      let isFar = limit.value > values * 4
      highest = isFar ? values * 1.25 : max(values, limit.value)
      let y = place(height - bottom - min(limit.value / highest, 1) * (height - bottom - 8))
      body += "<line class=\"limit\" x1=\"56\" y1=\"\(y)\" x2=\"636\" y2=\"\(y)\"/>"
      body +=
        "<text class=\"limit-text\" x=\"630\" y=\"24\" text-anchor=\"end\">\(limit.name)"
        + (isFar ? ", far above this axis" : "") + "</text>"
    }
    for (index, one) in series.enumerated() where one.values.contains(where: { $0 > 0 }) {
      let step = (width - left - 4) / Double(max(one.values.count - 1, 1))
      let points = one.values.enumerated().map { offset, value in
        place(left + step * Double(offset)) + ","
          + place(height - bottom - value / highest * (height - bottom - 8))
      }
      body += "<polyline class=\"s\(index)\" points=\"\(points.joined(separator: " "))\"/>"
      body +=
        "<text class=\"t\(index)\" x=\"\(64 + 150 * index)\" y=\"\(limit == nil ? 12 : 24)\">\(one.name)</text>"
    }
    return frame(title, short(highest), from, to, body)
  }

  /// Counts by powers of two.
  static func bars(_ title: String, _ counts: [Int], unit: String) -> String {
    guard let first = counts.firstIndex(where: { $0 > 0 }),
      let last = counts.lastIndex(where: { $0 > 0 })
    else { return "" }
    let shown = counts[first...last]
    let highest = Double(shown.max() ?? 1)
    let step = min((width - left - 4) / Double(shown.count), 60)
    var body = ""
    for (offset, count) in shown.enumerated() where count > 0 {
      let size = max(Double(count) / highest * (height - bottom - 8), 1)
      let label = "up to \(short(Double(UInt64(1) << UInt64(first + offset)))) \(unit): \(count)"
      body +=
        "<rect class=\"b\" x=\"\(place(left + step * Double(offset) + 1))\" "
        + "y=\"\(place(height - bottom - size))\" width=\"\(place(step - 2))\" "
        + "height=\"\(place(size))\"><title>\(label)</title></rect>"
    }
    let lower = short(Double(UInt64(1) << UInt64(first)))
    let upper = short(Double(UInt64(1) << UInt64(last)))
    return frame(title, short(highest), "≤ \(lower) \(unit)", "≤ \(upper) \(unit)", body)
  }

  /// How often each part of an address range was used.
  static func strip(_ title: String, _ cells: [Int], from: String, to: String) -> String {
    let highest = Double(cells.max() ?? 0)
    guard highest > 0 else { return "" }
    let step = (width - left - 4) / Double(cells.count)
    var body = ""
    for (offset, count) in cells.enumerated() where count > 0 {
      let share = place(0.25 + 0.75 * Double(count) / highest)
      body +=
        "<rect class=\"b\" opacity=\"\(share)\" x=\"\(place(left + step * Double(offset)))\" "
        + "y=\"40\" width=\"\(place(step))\" height=\"88\"><title>\(count) mappings</title></rect>"
    }
    return frame(title, "", from, to, body)
  }
}
