// handoff/trials.hpp: who hears what a stricter setting would have refused, and let pass. Nothing waits for it.
#pragma once

#include "handoff/trials.pb.h"

namespace posthorn::handoff {

class TrialListener {
public:
    virtual ~TrialListener() = default;
    virtual void tell(TrialSeen seen) = 0;
};

}  // namespace posthorn::handoff
