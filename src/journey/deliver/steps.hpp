// deliver/steps.hpp: what deliveries wait for at this moment, in words, for an operator who asks (posthorn why).
// Shape    an agent holds a Step as long as it waits; of several of one attempt the one that began last counts.
// Thread   one: that of the loop.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <list>
#include <optional>
#include <string>

namespace posthorn::deliver {

class Steps {
    struct Known {
        std::uint64_t attempt;
        std::string what;
        SteadyTime since;
    };

public:
    explicit Steps(const Clock& clock) : clock_(clock) {}

    class Step {
    public:
        Step(Steps& steps, std::list<Known>::iterator at) : steps_(&steps), at_(at) {}
        Step(const Step&) = delete;
        Step& operator=(const Step&) = delete;
        ~Step() { steps_->known_.erase(at_); }

    private:
        Steps* steps_;
        std::list<Known>::iterator at_;
    };
    [[nodiscard]] Step begin(std::uint64_t attempt, std::string what)
    {
        return {*this, known_.insert(known_.end(), {attempt, std::move(what), clock_.steady()})};
    }

    struct Waits {
        std::string what;
        SteadyTime::duration time;
    };
    /// None: it waits for nothing that has a name, or is not under way.
    std::optional<Waits> of(std::uint64_t attempt) const
    {
        for (auto at = known_.rbegin(); at != known_.rend(); ++at)
            if (at->attempt == attempt)
                return Waits{at->what, clock_.steady() - at->since};
        return std::nullopt;
    }

private:
    const Clock& clock_;
    std::list<Known> known_;
};

}  // namespace posthorn::deliver
