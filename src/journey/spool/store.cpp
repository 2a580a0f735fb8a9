#include "spool/store.hpp"

namespace posthorn::spool {

Result<std::string> ContentReader::octets() const
{
    std::string all(size(), '\0');
    TRY(const std::size_t got, read_at(0, all));
    if (got != all.size())
        return Error{"content file is shorter than it was", "4.3.0"};
    return all;
}

}  // namespace posthorn::spool
