import Glibc
import TestSupport
import Testing

@testable import DMATrace

/// One trace, read in different ways: the same result.
@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct WaysToReadTests {
  static func text(_ result: (report: CheckReport, context: TraceContext)) -> String {
    var report = result.report
    report.trace.path = ""
    var text = TextReport(report, context: result.context, redact: false)
    return text.text()
  }

  @Test(
    arguments: CleanTraceTests.drivers.filter { !$0.contains("big-multi") }
      + CleanTraceTests.formats
      + MisuseCase.all.filter { $0.mode == "swiotlb" }.map(\.path))
  func `reading and checking at once gives what one after the other gives`(_ path: String) throws {
    let one = try TraceCheck.check(path)
    let two = try TraceCheck.check(path, threads: 2)
    #expect(Self.text(one) == Self.text(two))
  }

  @Test(arguments: [("double_unmap", Rule.doubleRelease), ("clean", nil)])
  func `a file for each CPU is merged by time`(_ name: String, _ rule: Rule?) throws {
    let root = try #require(SharedTraces.root)
    let whole = "\(root)/bugs/\(name)/vtd.stock.txt"
    let folder = try #require(runProgram(["mktemp", "-d"])).output.dropLast()
    defer { _ = runProgram(["rm", "-r", String(folder)]) }
    let made = runProgram([
      "sh", "-c",
      """
      for c in 0 1; do grep -E "^#|\\\\[00$c\\\\]" "$1" > "$2/cpu$c"; done
      """, "sh", whole, String(folder),
    ])
    try #require(made?.status == 0)
    let merged = try TraceCheck.check(merging: ["\(folder)/cpu0", "\(folder)/cpu1"]).report
    let expected = try TraceCheck.check(whole).report
    #expect(merged.findings.map(\.rule) == (rule.map { [$0] } ?? []))
    #expect(merged.trace.events == expected.trace.events)
    #expect(merged.unknown == expected.unknown)
    #expect(merged.devices.map(\.state.calls.1) == expected.devices.map(\.state.calls.1))
  }

  @Test func `findings are told while the trace is still being written`() throws {
    let root = try #require(SharedTraces.root)
    let folder = try #require(runProgram(["mktemp", "-d"])).output.dropLast()
    defer { _ = runProgram(["rm", "-r", String(folder)]) }
    // The writer ends only when the finding was told.
    let started = runProgram([
      "sh", "-c",
      """
      mkfifo "$2/pipe"
      n=0
      { { grep -v '^#' "$1"
          while [ ! -e "$2/told" ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
        } >"$2/pipe"; } \
        >/dev/null 2>&1 &
      """, "sh", "\(root)/bugs/unmap_size/direct.stock.txt", String(folder),
    ])
    try #require(started?.status == 0)
    var told: [String] = []
    let result = try TraceCheck.follow("\(folder)/pipe") { line in
      told.append(line)
      _ = runProgram(["touch", "\(folder)/told"])
    }
    #expect(told.count == 1)
    #expect(told.first?.contains("[release-with-different-size]: mapped 1500 bytes") == true)
    #expect(result.report.findings.map(\.rule) == [.sizeDiffers])
  }

  @Test func `the page shows itself in a browser, wide and narrow`() throws {
    guard
      let browser = ["chromium", "chromium-browser", "google-chrome"].first(where: {
        runProgram(["sh", "-c", "command -v \($0)"])?.status == 0
      })
    else {
      print("skipped: no chromium here to look at the page with")
      return
    }
    let root = try #require(SharedTraces.root)
    let folder = String(try #require(runProgram(["mktemp", "-d"])).output.dropLast())
    defer { _ = runProgram(["rm", "-r", folder]) }
    // A frame of a phone's width says how wide the page really is.
    let page = try ReportPage.html(
      "\(root)/bugs/wrong_device/swiotlb.stock.txt", options: CheckOptions(), redact: true)
    #expect(!page.contains("0000:00:0"))
    #expect(!page.contains("http://") && !page.contains("https://"))
    guard let file = unsafe fopen("\(folder)/page.html", "w") else {
      throw TraceInputError.cannotRead(path: folder, errno: errno)
    }
    unsafe fputs(page, file)
    unsafe fclose(file)
    for width in [360, 1280] {
      let shot = "\(folder)/\(width).png"
      let shown = runProgram([
        "timeout", "60", browser, "--headless", "--no-sandbox", "--disable-gpu",
        "--hide-scrollbars", "--window-size=\(width),900", "--screenshot=\(shot)",
        "file://\(folder)/page.html",
      ])
      #expect(shown?.status == 0, "\(shown?.output ?? "")")
      #expect(runProgram(["sh", "-c", "[ $(stat -c %s \(shot)) -gt 10000 ]"])?.status == 0)
    }
    let dumped = runProgram([
      "timeout", "60", browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
      "file://\(folder)/page.html",
    ])
    #expect(dumped?.output.contains("a mapping of one device was released for another") == true)
  }
}
