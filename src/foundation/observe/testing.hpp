// observe/testing.hpp: for tests of who asks: what has been counted on this thread (observe/asked.hpp).
#pragma once

#include "observe/asked.hpp"

namespace posthorn::observe {

struct AskedCount {
    std::uint64_t answers = 0, failed = 0, open = 0;
    bool operator==(const AskedCount&) const = default;
};

/// Of all helpers of this kind, since this was made.
class AskedSince {
public:
    explicit AskedSince(Helper kind) : kind_(kind), before_(now()) {}
    AskedCount count() const
    {
        const AskedCount all = now();
        return {all.answers - before_.answers, all.failed - before_.failed, all.open};
    }

private:
    AskedCount now() const
    {
        AskedCount sum;
        for (const auto& [key, numbers] : Asked::here().numbers(std::chrono::steady_clock::now()))
            if (key.first == kind_)
                sum = {sum.answers + numbers.took.count(), sum.failed + numbers.failed, sum.open + numbers.open};
        return sum;
    }
    Helper kind_;
    AskedCount before_;
};

}  // namespace posthorn::observe
