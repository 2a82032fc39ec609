internal import CPCIDMA
internal import DMA
internal import DMAChecker

/// Tells the program of findings: the checker's, and those of the C interface's own rules.
@safe
final class FindingTeller: @unchecked Sendable {
  // SAFETY (Sendable): what was told is behind the lock; the program's handler is told in which
  // contexts it runs.
  private let handler: swiftdma_finding_handler?
  private let context: UnsafeMutableRawPointer?
  private let lock = RawSpinLock()
  /// Places that were told of, with their rule.
  private var told: [(rule: UInt, file: UInt, line: UInt32)] = []
  private var ownCount: UInt64 = 0

  /// More places than this are counted, not told.
  private static var toldMax: Int { 4096 }

  init(_ options: swiftdma_checker_options) {
    unsafe handler = unsafe options.handler
    unsafe context = unsafe options.context
  }

  /// How often rules of the C interface's own were broken.
  var count: UInt64 { lock.withLock { ownCount } }

  func deliver(_ finding: Finding) {
    let mapped = finding.mapping?.site ?? finding.lastFreed?.site
    tell(finding.rule.name, finding.device, finding.site, mapped, finding.text())
  }

  /// A rule of the C interface's own was broken; told once for each place.
  func report(_ rule: StaticString, _ device: String, _ site: CallSite, _ text: String) {
    let key = unsafe (
      rule: UInt(bitPattern: rule.utf8Start), file: UInt(bitPattern: site.fileName.baseAddress),
      line: site.line
    )
    let isNew = lock.withLock {
      ownCount += 1
      guard told.count < Self.toldMax, !told.contains(where: { $0 == key }) else { return false }
      told.append(key)
      return true
    }
    guard isNew else { return }
    let place = unsafe site.fileName.baseAddress == nil ? "" : "\(site.description): "
    tell(rule, device, site, nil, "\(place)\(rule): \(device): \(text)")
  }

  private func tell(
    _ rule: StaticString, _ device: String, _ site: CallSite?, _ mapped: CallSite?, _ text: String
  ) {
    unsafe withText(text) { text in
      guard let handler = unsafe handler else {
        unsafe swiftdma_emit(4, text)
        return
      }
      unsafe withText(device) { device in
        unsafe withText("") { empty in
          var finding = unsafe swiftdma_finding()
          unsafe finding.struct_size = unsafe MemoryLayout<swiftdma_finding>.size
          unsafe finding.rule = unsafe UnsafeRawPointer(rule.utf8Start).assumingMemoryBound(
            to: CChar.self)
          unsafe finding.device = unsafe device
          unsafe finding.file = unsafe Self.name(site) ?? empty
          unsafe finding.line = site?.line ?? 0
          unsafe finding.mapped_file = unsafe Self.name(mapped) ?? empty
          unsafe finding.mapped_line = mapped?.line ?? 0
          unsafe finding.text = unsafe text
          unsafe handler(context, &finding)
        }
      }
    }
  }

  /// Names of files are literals with an ending zero, of C or of Swift.
  private static func name(_ site: CallSite?) -> UnsafePointer<CChar>? {
    guard let start = unsafe site?.fileName.baseAddress else { return nil }
    return unsafe UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
  }
}

// MARK: Texts

/// A C string, at most so many bytes of it.
func text(_ start: UnsafePointer<CChar>, limit: Int) -> String {
  var bytes: [UInt8] = []
  // SAFETY: the caller's string ends with a zero.
  while bytes.count < limit, unsafe start[bytes.count] != 0 {
    unsafe bytes.append(UInt8(bitPattern: start[bytes.count]))
  }
  return String(decoding: bytes, as: UTF8.self)
}

/// Lends a string with an ending zero.
func withText(_ text: String, _ body: (UnsafePointer<CChar>) -> Void) {
  var bytes = text.utf8.map { CChar(bitPattern: $0) }
  bytes.append(0)
  unsafe bytes.withUnsafeBufferPointer { buffer in
    // SAFETY: it has at least the zero.
    if let start = buffer.baseAddress { unsafe body(start) }
  }
}
