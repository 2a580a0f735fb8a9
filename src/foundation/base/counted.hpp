// base/counted.hpp: one more, as long as it lives.
#pragma once

#include <cstddef>

namespace posthorn {

class Counted {
public:
    explicit Counted(std::size_t& count) : count_(count) { ++count_; }
    Counted(Counted&&) = delete;
    ~Counted() { --count_; }

private:
    std::size_t& count_;
};

}  // namespace posthorn
