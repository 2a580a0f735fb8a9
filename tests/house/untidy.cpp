// Not compiled: what scripts/tidy must refuse (test house.tidy-can-fail).
#include <string>
#include <utility>

std::string untidy(std::string gone)
{
    const std::string kept = std::move(gone);
    return kept + gone;
}
