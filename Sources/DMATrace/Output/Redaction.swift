import DMA

/// Stable pseudonyms for what should not leave a machine.
///
/// The same name always gets the same pseudonym within a report, and names sort as they were met.
struct Redaction {
  let isOn: Bool
  private var names: [String: String] = [:]
  private var counts: [String: Int] = [:]
  private var addresses: [UInt64: UInt64] = [:]

  init(isOn: Bool) { self.isOn = isOn }

  mutating func name(_ name: String, as kind: String) -> String {
    guard isOn, !name.isEmpty else { return name }
    if let known = names[kind + name] { return known }
    counts[kind, default: 0] += 1
    let pseudonym = "\(kind)-\(counts[kind] ?? 0)"
    names[kind + name] = pseudonym
    return pseudonym
  }

  /// Keeps the offset in the page: alignment is what findings are about.
  mutating func address(_ address: UInt64) -> UInt64 {
    guard isOn, address != .max else { return address }
    let page = address >> 12
    let number = addresses[page] ?? UInt64(addresses.count + 1)
    addresses[page] = number
    return number << 12 | address & 0xfff
  }
}
