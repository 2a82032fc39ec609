/* SPDX-License-Identifier: Apache-2.0
 *
 * The smallest NVMe driver there is: it makes the admin queues, identifies the controller and says who
 * it is. Registers and commands as in NVM Express 1.4, sections 3.1 and 5.15. */

#include "example.h"

#define CAP 0x00
#define CC 0x14
#define CSTS 0x1c
#define AQA 0x24
#define ASQ 0x28
#define ACQ 0x30
#define DOORBELLS 0x1000
#define ENTRIES 16

struct command {
  u32 opcode_and_id;
  u32 namespace_id;
  u64 reserved[2];
  u64 prp1, prp2;
  u32 arguments[6];
};
struct completion {
  u32 result, reserved;
  u16 submission_head, submission_id, id;
  volatile u16 status;
};

static int identify(struct pci_dev *pdev, char *model, char *serial) {
  if (pci_enable_device(pdev) != 0 || dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64)) != 0) {
    return -EIO;
  }
  pci_set_master(pdev);
  int error = -ENOMEM;
  dma_addr_t submission_dma, completion_dma, buffer_dma;
  char *registers = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
  struct command *submission =
      dma_alloc_coherent(&pdev->dev, ENTRIES * sizeof(struct command), &submission_dma, GFP_KERNEL);
  struct completion *completion =
      dma_alloc_coherent(&pdev->dev, ENTRIES * sizeof(struct completion), &completion_dma, GFP_KERNEL);
  u8 *buffer = (u8 *)__get_free_page(GFP_KERNEL);
  if (registers == NULL || submission == NULL || completion == NULL || buffer == NULL) goto out;

  writel(0, registers + CC);
  while ((readl(registers + CSTS) & 1) != 0) udelay(10);
  writel((ENTRIES - 1) << 16 | (ENTRIES - 1), registers + AQA);
  writel((u32)submission_dma, registers + ASQ);
  writel((u32)(submission_dma >> 32), registers + ASQ + 4);
  writel((u32)completion_dma, registers + ACQ);
  writel((u32)(completion_dma >> 32), registers + ACQ + 4);
  /* 64-byte commands, 16-byte completions, pages of 4 KiB. */
  writel(6 << 16 | 4 << 20 | 1, registers + CC);
  error = -ETIMEDOUT;
  for (int wait = 0; (readl(registers + CSTS) & 1) == 0; wait++) {
    if (wait == 1000) goto disable;
    mdelay(1);
  }

  buffer_dma = dma_map_single(&pdev->dev, buffer, 4096, DMA_FROM_DEVICE);
  if (dma_mapping_error(&pdev->dev, buffer_dma)) {
    error = -ENOMEM;
    goto disable;
  }
  memset(&submission[0], 0, sizeof(submission[0]));
  submission[0].opcode_and_id = 0x06 | 1 << 16;
  submission[0].prp1 = buffer_dma;
  submission[0].arguments[0] = 1;
  wmb();
  writel(1, registers + DOORBELLS);
  error = 0;
  for (int wait = 0; (completion[0].status & 1) == 0; wait++) {
    if (wait == 1000) {
      error = -ETIMEDOUT;
      break;
    }
    mdelay(1);
  }
  rmb();
  if (error == 0 && completion[0].status >> 1 != 0) error = -EIO;
  writel(1, registers + DOORBELLS + (4u << (readq(registers + CAP) >> 32 & 15)));
  dma_unmap_single(&pdev->dev, buffer_dma, 4096, DMA_FROM_DEVICE);
  if (error == 0) {
    memcpy(serial, buffer + 4, 20);
    memcpy(model, buffer + 24, 40);
  }

disable:
  writel(0, registers + CC);
  pci_clear_master(pdev);
out:
  if (buffer != NULL) free_page((unsigned long)buffer);
  if (completion != NULL) {
    dma_free_coherent(&pdev->dev, ENTRIES * sizeof(struct completion), completion, completion_dma);
  }
  if (submission != NULL) {
    dma_free_coherent(&pdev->dev, ENTRIES * sizeof(struct command), submission, submission_dma);
  }
  if (registers != NULL) iounmap(registers);
  return error;
}

int main(int count, char **arguments) {
  struct swiftdma_machine *machine = example_machine(count, arguments, 0);
  struct swiftdma_device_options options;
  struct pci_dev *pdev;
  char model[41] = "", serial[21] = "";
  memset(&options, 0, sizeof(options));
  options.struct_size = sizeof(options);
  options.kind = SWIFTDMA_NVME;
  EXPECT(swiftdma_device_add(machine, &options, &pdev) == 0);
  EXPECT(pdev == pci_find_class(0x010802, NULL));
  EXPECT(identify(pdev, model, serial) == 0);
  printf("model %.40s, serial %.20s\n", model, serial);
  EXPECT(model[0] != 0 && serial[0] != 0);
  EXPECT(swiftdma_device_remove(pdev) == 0);
  return example_end(machine);
}
