/// An IOMMU fault as the kernel's log tells it.
public struct FaultLine: Sendable, Equatable {
  /// The line of the log, from 1.
  public var line: UInt64
  /// Nanoseconds since boot, when the log has times.
  public var time: UInt64?
  /// `dddd:bb:dd.f`, or for an SMMU the stream's number, as far as the line says.
  public var device: String
  public var address: UInt64
  /// nil when the line does not say.
  public var isWrite: Bool?
  public var iommu: IOMMU
  /// The reason in the log's words.
  public var reason: String

  /// Whose words they are.
  public enum IOMMU: String, Sendable {
    case intel = "DMAR"
    case amd = "AMD-Vi"
    case smmu = "SMMU"
  }

  /// Every fault in a log.
  public static func all(in log: String) -> [FaultLine] {
    var faults: [FaultLine] = []
    var number: UInt64 = 0
    for line in log.split(separator: "\n", omittingEmptySubsequences: false) {
      number += 1
      if var fault = intel(line) ?? amd(line) ?? smmu(line) {
        fault.line = number
        fault.time = time(line)
        faults.append(fault)
      }
    }
    return faults
  }

  /// The time in front of a line, as in `[   28.037972]`.
  private static func time(_ line: Substring) -> UInt64? {
    guard let open = line.firstIndex(of: "["), let close = line[open...].firstIndex(of: "]") else {
      return nil
    }
    let parts = line[line.index(after: open)..<close].drop { $0 == " " }.split(separator: ".")
    guard parts.count == 2, let seconds = UInt64(parts[0]), var fraction = UInt64(parts[1]) else {
      return nil
    }
    for _ in parts[1].count..<max(9, parts[1].count) { fraction *= 10 }
    return seconds * 1_000_000_000 + fraction
  }

  /// `DMAR: [DMA Write NO_PASID] Request device [00:01.0] fault addr 0xffff0000 [fault reason 0x05]
  /// PTE Write access is not set` (drivers/iommu/intel/dmar.c).
  private static func intel(_ line: Substring) -> FaultLine? {
    guard let from = find("DMAR: [DMA ", line) ?? find("DMAR:[DMA ", line) else { return nil }
    let rest = line[from...]
    guard let device = word(after: "device [", in: rest, until: "]"),
      let address = hex(after: "fault addr ", in: rest)
    else { return nil }
    let reason = find("[fault reason", rest).map { String(rest[$0...].drop { $0 != "[" }) } ?? ""
    return FaultLine(
      line: 0, time: nil, device: full(device), address: address,
      isWrite: find("DMA Write", rest) != nil, iommu: .intel, reason: reason)
  }

  /// `AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:01.0 domain=0x0001 address=0xfff0
  /// flags=0x0020]`, with `device=00:01.0` in older kernels (drivers/iommu/amd/iommu.c); bit 5 of
  /// the flags says that the access was a write.
  private static func amd(_ line: Substring) -> FaultLine? {
    guard find("AMD-Vi", line) != nil, find("IO_PAGE_FAULT", line) != nil,
      let address = hex(after: "address=", in: line)
    else { return nil }
    // Newer kernels name the device in front: "nvme 0000:01:00.0: AMD-Vi: Event logged [...".
    guard let device = word(after: "device=", in: line, until: " ") ?? leading(line) else {
      return nil
    }
    let flags = hex(after: "flags=", in: line)
    return FaultLine(
      line: 0, time: nil, device: full(device), address: address,
      isWrite: flags.map { $0 & 0x20 != 0 }, iommu: .amd,
      reason: "IO_PAGE_FAULT" + (flags.map { " " + Self.amdFlags($0) } ?? ""))
  }

  /// The flags of an AMD page fault in words (AMD I/O Virtualization Technology, section 2.5.3).
  static func amdFlags(_ flags: UInt64) -> String {
    var words: [String] = []
    words.append(flags & 0x20 != 0 ? "write" : "read")
    words.append(flags & 0x10 != 0 ? "page present" : "page not present")
    if flags & 0x40 != 0 { words.append("permission missing") }
    if flags & 0x80 != 0 { words.append("reserved bits set") }
    if flags & 0x08 != 0 { words.append("interrupt") }
    return words.joined(separator: ", ")
  }

  /// `arm-smmu-v3 9050000.smmuv3: event 0x10 received:` has no address; the lines that do are
  /// `arm-smmu ...: Unhandled context fault: fsr=0x402, iova=0xfff, fsynr=0x11, cbfrsynra=0x404`
  /// and, since 6.14, `... event: F_TRANSLATION client: 0000:00:01.0 sid: 0x8 ssid: 0x0 iova: 0x..`.
  private static func smmu(_ line: Substring) -> FaultLine? {
    guard find("smmu", line) != nil else { return nil }
    if let address = hex(after: "iova=", in: line) {
      let stream = word(after: "cbfrsynra=", in: line, until: ",") ?? ""
      // WNR, "write not read", is bit 4 of FSYNR0.
      let syndrome = hex(after: "fsynr=", in: line) ?? hex(after: "fsynr0=", in: line)
      return FaultLine(
        line: 0, time: nil, device: stream.isEmpty ? "" : "stream \(stream)", address: address,
        isWrite: syndrome.map { $0 & 0x10 != 0 }, iommu: .smmu, reason: "context fault")
    }
    guard let address = hex(after: "iova: ", in: line),
      let client = word(after: "client: ", in: line, until: " ")
    else { return nil }
    let kind = word(after: "event: ", in: line, until: " ") ?? "fault"
    return FaultLine(
      line: 0, time: nil, device: full(client), address: address,
      isWrite: find("write", line) != nil ? true : find("read", line) != nil ? false : nil,
      iommu: .smmu, reason: kind)
  }

  // MARK: Words of a line

  private static func find(_ text: String, _ line: Substring) -> Substring.Index? {
    let wanted = Array(text.utf8)
    var at = line.utf8.startIndex
    while at < line.utf8.endIndex {
      if line.utf8[at...].starts(with: wanted) { return at }
      at = line.utf8.index(after: at)
    }
    return nil
  }

  private static func word(after text: String, in line: Substring, until end: Character) -> String?
  {
    guard let at = find(text, line) else { return nil }
    let rest = line[at...].dropFirst(text.count)
    let word = rest.prefix { $0 != end && $0 != "]" && $0 != "," }
    return word.isEmpty ? nil : String(word)
  }

  private static func hex(after text: String, in line: Substring) -> UInt64? {
    guard let at = find(text, line) else { return nil }
    var rest = line[at...].dropFirst(text.count)
    if rest.hasPrefix("0x") { rest = rest.dropFirst(2) }
    return UInt64(rest.prefix { $0.isHexDigit }, radix: 16)
  }

  /// The PCI address in front of "AMD-Vi".
  private static func leading(_ line: Substring) -> String? {
    for word in line.split(separator: " ") where word.hasSuffix(":") {
      let name = word.dropLast()
      if name.count >= 7, name.contains("."), name.contains(":") { return String(name) }
    }
    return nil
  }

  /// Logs leave the domain out where it is 0.
  private static func full(_ device: String) -> String {
    device.count == 7 ? "0000:" + device : device
  }
}
