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

  @Test func `the page shows itself in a browser, on desk and phone, light and dark`() throws {
    guard
      let browser = ["chromium", "chromium-browser", "google-chrome"].first(where: {
        runProgram(["sh", "-c", "command -v \($0)"])?.status == 0
      })
    else {
      print("skipped: no chromium here (Debian: apt-get install chromium)")
      return
    }
    let root = try #require(SharedTraces.root)
    let folder = String(try #require(runProgram(["mktemp", "-d"])).output.dropLast())
    defer { _ = runProgram(["rm", "-r", folder]) }
    let path = "\(root)/bugs/wrong_device/swiotlb.stock.txt"
    let page = try ReportPage.html(path, options: CheckOptions(), redact: true)
    #expect(!page.contains("0000:00:0"))
    #expect(!page.contains("http://") && !page.contains("https://"))
    for (name, text) in [("page", page), ("frame", Self.frame)] {
      guard let file = unsafe fopen("\(folder)/\(name).html", "w") else {
        throw TraceInputError.cannotRead(path: folder, errno: errno)
      }
      unsafe fputs(text, file)
      unsafe fclose(file)
    }
    for (scheme, isDark) in [(0, true), (1, false)] {
      let shown = runProgram([
        "timeout", "60", browser, "--headless", "--no-sandbox", "--disable-gpu",
        "--allow-file-access-from-files", "--blink-settings=preferredColorScheme=\(scheme)",
        "--virtual-time-budget=5000", "--dump-dom", "file://\(folder)/frame.html",
      ])
      let seen = shown?.output ?? ""
      #expect(seen.contains("dark \(isDark), dark background \(isDark), dark text \(!isDark)"))
      for width in [360, 1280] {
        #expect(seen.contains("frame \(width): wider by 0, beyond the edge 0, small texts 0"))
      }
      #expect(seen.contains("charts 8"), "\(seen.suffix(600))")
      #expect(seen.contains("a mapping of one device was released for another"))
    }
  }

  /// Shows the page in frames of a phone's and a desk's width, and says what a reader would see.
  private static let frame = """
    <!doctype html><meta charset=utf-8><pre id=said></pre>
    <iframe id=f360 style="width:360px;height:700px;border:0"></iframe>
    <iframe id=f1280 style="width:1280px;height:700px;border:0"></iframe>
    <script>
    for (const width of [360, 1280]) {
      const frame = document.getElementById('f' + width)
      frame.onload = () => {
        const page = frame.contentDocument, view = frame.contentWindow
        const body = view.getComputedStyle(page.body)
        const isDark = (color) => color.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) < 384
        const beyond = [...page.querySelectorAll('body *')].filter(
          (one) => one.getBoundingClientRect().right > width + 1)
        const small = [...page.querySelectorAll('svg text')].filter(
          (one) => parseFloat(view.getComputedStyle(one).fontSize) * one.getScreenCTM().a < 8)
        said.textContent += `frame ${width}: wider by `
          + `${Math.max(page.documentElement.scrollWidth - width, 0)}, beyond the edge `
          + `${beyond.length}, small texts ${small.length}, `
          + `dark ${view.matchMedia('(prefers-color-scheme: dark)').matches}, `
          + `dark background ${isDark(body.backgroundColor)}, dark text ${isDark(body.color)}, `
          + `charts ${page.querySelectorAll('svg').length}\\n`
          + (width == 360 ? page.body.innerText : '')
      }
      frame.src = 'page.html'
    }
    </script>
    """
}
