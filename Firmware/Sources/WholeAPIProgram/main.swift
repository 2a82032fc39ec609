import BareMetal
import DMA
import WholeAPI

let result = useWholeAPI()
if result.failureCount == 0 {
  print("the whole API: as documented")
  Board.end(.passed)
}
print(
  "the whole API: \(result.failureCount) failures, the first at \(result.first?.description ?? "?")"
)
Board.end(.failed)
