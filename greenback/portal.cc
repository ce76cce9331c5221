#include "greenback/portal.h"

#include "greenback/host/portal_access.h"

namespace greenback {

using internal::PortalAccess;
using internal::ThisThread;
using Portal = PortalAccess::Portal;

bool HasPortal() noexcept { return internal::TaskWithPortal() != nullptr; }

bool HasPortal(const PortalTask& task) noexcept {
  return PortalAccess::IsOpen(task) &&
         PortalAccess::Hooks(task).Refuses() == nullptr;
}

void BestowPortal(PortalTask& task) {
  if (PortalAccess::Get(task) != Portal::kNone) return;
  if (&task == ThisThread().current_task) {
    PortalAccess::Set(task, Portal::kBestowed);
    PortalAccess::OnSelfBestowed(task);
  } else {
    PortalAccess::Set(task, Portal::kOpen);
  }
}

}  // namespace greenback
