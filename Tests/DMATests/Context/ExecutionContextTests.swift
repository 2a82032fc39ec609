import DMA
import Testing

@Suite struct ExecutionContextTests {
  @Test func `R64 R67 a held spin lock makes the context atomic, nested too`() {
    #expect(ExecutionContext.current == .process)
    let outer = DMASpinLock()
    let inner = DMASpinLock()
    outer.withLock {
      #expect(ExecutionContext.current == .spinLockHeld)
      inner.withLock { #expect(ExecutionContext.current == .spinLockHeld) }
      #expect(ExecutionContext.current == .spinLockHeld)
    }
    #expect(ExecutionContext.current == .process)
  }

  @Test func `an interrupt counts before a lock, and ends when its handler throws`() {
    struct Failed: Error {}
    let lock = DMASpinLock()
    lock.withLock {
      do throws(Failed) {
        try ExecutionContext.withInterrupt { () throws(Failed) in
          #expect(ExecutionContext.current == .interrupt)
          throw Failed()
        }
      } catch {}
      #expect(ExecutionContext.current == .spinLockHeld)
    }
    #expect(!ExecutionContext.current.isAtomic)
  }

  @Test func `the context is the thread's own`() async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          let lock = DMASpinLock()
          for _ in 0..<1000 { lock.withLock { #expect(ExecutionContext.current.isAtomic) } }
          #expect(!ExecutionContext.current.isAtomic)
        }
      }
    }
  }
}
