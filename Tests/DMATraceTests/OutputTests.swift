import DMA
import Glibc
import Testing

@testable import DMATrace

struct OutputTests {
  /// The first case of misuse in a small trace of our own.
  static let misuse = """
              <&"-156     [000] .....     1.000000: dma_map_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=1500 phys_addr=3001000 attrs=
              <&"-156     [000] .....     1.000100: dma_unmap_page: 0000:00:01.0 dir=FROM_DEVICE dma_addr=a000 size=1024 attrs=

    """

  @Test func `a redacted report names neither devices nor tasks nor pages`() throws {
    let (report, context) = try TraceCheck.check(bytes: Array(Self.misuse.utf8))
    #expect(report.findings.map(\.rule) == [.sizeDiffers])
    var redacted = TextReport(report, context: context, redact: true)
    let text = redacted.text()
    #expect(!text.contains("0000:00:01.0"))
    #expect(!text.contains("0xa000"))
    #expect(text.contains("device-1"))
    var open = TextReport(report, context: context, redact: false)
    #expect(open.text().contains("mapped 1500 bytes, released 1024"))
    #expect(open.text().contains("frees DMA memory with different size"))
  }

  @Test func `SARIF and JSON hold the line and the rule`() throws {
    let checked = try TraceCheck.check(bytes: Array(Self.misuse.utf8))
    let sarif = SARIFReport([checked], redact: false).text()
    #expect(sarif.contains("\"ruleId\":\"release-with-different-size\""))
    #expect(sarif.contains("\"startLine\":2"))
    var json = JSONReport(checked.report, context: checked.context, redact: false)
    let text = json.text()
    #expect(text.contains("\"rule\":\"release-with-different-size\""))
    #expect(text.contains("<&\\\""))
  }

  @Test(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
  func `exports hold every event and every life`() throws {
    let path = try #require(SharedTraces.root) + "/nvme-vtd-strict.txt.xz"
    let lines = Collected()
    try TraceExport.export(path, as: .csv) { lines.text += $0 }
    #expect(lines.text.split(separator: "\n").count == 10025 + 1)
    let chrome = Collected()
    try TraceExport.export(path, as: .chrome, redact: true) { chrome.text += $0 }
    let begun = chrome.text.split(separator: "\n").filter { $0.contains("\"ph\":\"b\"") }.count
    let ended = chrome.text.split(separator: "\n").filter { $0.contains("\"ph\":\"e\"") }.count
    // 1465 pages, 289 lists and 9 allocations, all released.
    #expect(begun == 1763)
    #expect(ended == begun)
    #expect(!chrome.text.contains("0000:00:01.0"))
  }

  @Test(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
  func `folded stacks weigh what was mapped`() throws {
    let path = try #require(SharedTraces.root) + "/formats/fmt-stacktrace.txt.xz"
    let folded = Collected()
    try TraceExport.export(path, as: .folded, weight: .count) { folded.text += $0 }
    let weights = folded.text.split(separator: "\n").compactMap {
      $0.split(separator: " ").last.flatMap { Int($0) }
    }
    // 294 pages and 2 allocations.
    #expect(weights.reduce(0, +) == 296)
    #expect(folded.text.contains("e1000_clean"))
  }

  @Test(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
  func `the page stands alone and is redacted by default`() throws {
    let root = try #require(SharedTraces.root)
    let page = try ReportPage.html(
      root + "/multi-vtd-lazy.txt.xz", options: CheckOptions(), redact: true)
    #expect(!page.contains("0000:00:0"))
    #expect(!page.contains("src=") && !page.contains("href=") && !page.contains("<script"))
    #expect(page.contains("prefers-color-scheme:dark") && page.contains("width=device-width"))
    #expect(page.components("<section>") == 4)
    #expect(page.components("<svg") == page.components("</svg>"))
    let misuse = try ReportPage.html(
      root + "/bugs/wrong_device/vtd.stock.txt", options: CheckOptions(), redact: false)
    #expect(misuse.contains("a mapping of one device was released for another"))
  }

  @Test func `the recording script is a shell script whatever it is given`() throws {
    var plan = RecordPlan(output: "a'b $(touch no)")
    plan.device = "0000:00:01.0"
    plan.rebinds = true
    plan.command = ["echo", "it's; rm -rf nothing"]
    let script = RecordScript.text(plan)
    #expect(script.contains("OUT='a'\\''b $(touch no)'"))
    #expect(script.contains("set -- 'echo' 'it'\\''s; rm -rf nothing'"))
    #expect(Self.shell(["-n", "-c", script]) == 0)
  }

  @Test(.enabled(if: geteuid() != 0, "it would record: run as root"))
  func `recording without root says why`() {
    #expect(Self.shell(["-c", RecordScript.text(RecordPlan(output: "unused"))]) == 2)
  }

  /// Runs the shell and returns its exit status.
  private static func shell(_ arguments: [String]) -> Int32 {
    var words: [UnsafeMutablePointer<CChar>?] = unsafe []
    for word in ["sh"] + arguments { unsafe words.append(strdup(word)) }
    unsafe words.append(nil)
    defer { unsafe words.forEach { unsafe Glibc.free($0) } }
    var process: pid_t = 0
    guard unsafe posix_spawn(&process, "/bin/sh", nil, nil, &words, environ) == 0 else { return -1 }
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
    return status >> 8 & 0xff
  }
}

/// Text collected by a closure.
final class Collected {
  var text = ""
}

extension String {
  /// How often a text occurs.
  func components(_ text: String) -> Int {
    let wanted = Array(text.utf8)
    let bytes = Array(utf8)
    var count = 0
    var at = 0
    while at + wanted.count <= bytes.count {
      if bytes[at] == wanted[0], bytes[at..<(at + wanted.count)].elementsEqual(wanted) {
        count += 1
      }
      at += 1
    }
    return count
  }
}
