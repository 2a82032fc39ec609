/// Rows of text under a header, columns aligned: for a terminal or a file alike.
struct TextTable {
  private var rows: [[String]]
  private let rightAligned: Set<Int>

  /// - Parameter rightAligned: the columns that hold numbers.
  init(_ header: [String], rightAligned: Set<Int> = []) {
    rows = [header]
    self.rightAligned = rightAligned
  }

  mutating func add(_ row: [String]) { rows.append(row) }

  /// The table, a line each row, with a rule below the header.
  var text: String {
    let columns = rows.map(\.count).max() ?? 0
    var widths = [Int](repeating: 0, count: columns)
    for row in rows {
      for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
    }
    var lines: [String] = []
    for (number, row) in rows.enumerated() {
      var line = " "
      for (index, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[index] - cell.count)
        line += " " + (rightAligned.contains(index) ? padding + cell : cell + padding) + " "
      }
      while line.last == " " { line.removeLast() }
      lines.append(line)
      if number == 0 {
        lines.append(
          "  " + widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "))
      }
    }
    return lines.joined(separator: "\n")
  }
}
