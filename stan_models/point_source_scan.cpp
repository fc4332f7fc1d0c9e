// The scan of the sky: at every position the largest likelihood in ns and gamma.
//
// Called from Python by ctypes (`pyxstan.point_source.scanning`), which describes the arguments.

#include "functions/point_source.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <tuple>

namespace {

using point_source::Between;
using point_source::Gammas;
using point_source::Part;
using point_source::Slopes;
using point_source::Term;

constexpr double pi = 3.14159265358979323846;
//! Events of about the same error are searched together: factors of two, from the largest down.
constexpr int most_classes = 16;
//! Steps between the values of gamma from which maxima are followed up, in nodes.
constexpr int stride = 5;
constexpr int most_iterations = 60;
//! What a maximum may still be short of, in ln L.
constexpr double accuracy = 1e-6;

struct Event {
  double x, y, z;
  //! The cosine of the largest distance at which it is near.
  double cut;
  //! 1 / sigma^2, and the ratio's factor in front of the exponential.
  double kappa, norm;
  std::int32_t bin, number;
};

// Events of similar errors, in bands of declination, by right ascension in each.
struct Class {
  double radius, height;
  std::vector<std::size_t> start;
  std::vector<double> ra;
  std::vector<Event> events;
};

struct Events {
  std::vector<Class> classes;
};

// Tables of a sample: energies by cell of declination, bin of energy and node; shares by cell and node.
struct Sample {
  const Events* events;
  double count;
  const double* energy;
  //! Densities of energies, not their logarithms: at every `stride`th node.
  const double* density;
  const double* share;
  std::int64_t cells, bins;
  const double* cell_edges;  // of sin(dec), rising, cells + 1

  std::int64_t cell(double sin_dec) const {
    const auto above = std::upper_bound(cell_edges + 1, cell_edges + cells, sin_dec);
    return above - cell_edges - 1;
  }
};

double wrapped(double ra) {
  const double turned = std::fmod(ra, 2.0 * pi);
  return turned < 0.0 ? turned + 2.0 * pi : turned;
}

// The tables of one cell of declination, and how long their rows are.
struct Cell {
  const double* energy;
  std::size_t row;
  const double* density;
  std::size_t density_row;
};

// Events near a position, each taken to be nearer by an angle: as near as it is to any place within that angle.
void gather(const Class& group, double ra, double dec, double x, double y, double z, double nearer, const Cell& cell,
            std::vector<Term>& terms, std::vector<const Event*>* seen) {
  const double radius = std::min(group.radius + nearer, pi);
  const double cos_nearer = std::cos(nearer), sin_nearer = std::sin(nearer);
  const double low = dec - radius, high = dec + radius;
  const int bands = static_cast<int>(group.start.size()) - 1;
  const int first = std::max(0, static_cast<int>((low + 0.5 * pi) / group.height));
  const int last = std::min(bands - 1, static_cast<int>((high + 0.5 * pi) / group.height));
  const bool around_pole = low <= -0.5 * pi || high >= 0.5 * pi;
  const double ratio = around_pole ? 1.0 : std::sin(radius) / std::cos(dec);
  const bool all = around_pole || ratio >= 1.0;
  const double half = all ? pi : std::asin(ratio) + 1e-12;
  const auto within = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const Event& event = group.events[i];
      double cosine = x * event.x + y * event.y + z * event.z;
      if (nearer > 0.0)
        cosine = cosine > cos_nearer
                     ? 1.0
                     : cosine * cos_nearer + std::sqrt(std::max(0.0, 1.0 - cosine * cosine)) * sin_nearer;
      if (cosine < event.cut) continue;
      terms.push_back({event.norm * std::exp(event.kappa * (cosine - 1.0)), cell.energy + cell.row * event.bin,
                       cell.density + cell.density_row * event.bin});
      if (seen != nullptr) seen->push_back(&event);
    }
  };
  for (int band = first; band <= last; ++band) {
    const std::size_t from = group.start[band], to = group.start[band + 1];
    if (all) {
      within(from, to);
      continue;
    }
    const auto begin = group.ra.begin();
    const auto window = [&](double left, double right) {
      const auto a = std::lower_bound(begin + from, begin + to, left), b = std::upper_bound(a, begin + to, right);
      within(a - begin, b - begin);
    };
    const double left = ra - half, right = ra + half;
    window(std::max(left, 0.0), std::min(right, 2.0 * pi));
    if (left < 0.0) window(left + 2.0 * pi, 2.0 * pi);
    if (right > 2.0 * pi) window(0.0, right - 2.0 * pi);
  }
}

// What is near a position, sample by sample.
class Position {
 public:
  explicit Position(const std::vector<Sample>& samples, const Gammas& gammas) : samples_(samples), gammas_(gammas) {}

  const std::vector<Part>& at(double ra, double dec, double nearer = 0.0, std::vector<const Event*>* seen = nullptr) {
    terms_.clear();
    parts_.clear();
    ra = wrapped(ra);
    const double x = std::cos(dec) * std::cos(ra), y = std::cos(dec) * std::sin(ra), z = std::sin(dec);
    std::vector<std::size_t> ends;
    for (const Sample& sample : samples_) {
      const std::size_t cell = static_cast<std::size_t>(sample.cell(z)), bins_of_cell = static_cast<std::size_t>(sample.bins);
      const std::size_t row = 2 * static_cast<std::size_t>(gammas_.count);
      const std::size_t density_row = static_cast<std::size_t>((gammas_.count - 1) / stride) + 1;
      const Cell tables{sample.energy + row * cell * bins_of_cell, row,
                        sample.density + density_row * cell * bins_of_cell, density_row};
      for (const Class& group : sample.events->classes) gather(group, ra, dec, x, y, z, nearer, tables, terms_, seen);
      ends.push_back(terms_.size());
      parts_.push_back({sample.count, sample.share + row * cell, nullptr, nullptr});
    }
    for (std::size_t k = 0, from = 0; k < parts_.size(); from = ends[k++]) {
      parts_[k].first = terms_.data() + from;
      parts_[k].last = terms_.data() + ends[k];
    }
    return parts_;
  }

  std::size_t near() const { return terms_.size(); }

 private:
  const std::vector<Sample>& samples_;
  const Gammas& gammas_;
  std::vector<Term> terms_;
  std::vector<Part> parts_;
};

struct Maximum {
  double value = 0.0, ns = 0.0, gamma = 0.0;
};

// The log likelihood at one gamma as a function of ns alone, concave.
//
// It is a sum of ln(1 + a x), x = r - 1, over the near events. Where a |x| is small, as for nearly all of them, the
// series in the sums of powers of x is exact to rounding, and costs nothing more.
class Profile {
 public:
  Profile(const std::vector<Part>& parts, const Gammas& gammas, double gamma) {
    const Between there(gammas, gamma);
    for (const Part& part : parts) {
      begin(part, std::exp(there.value(part.share)));
      for (const Term* term = part.first; term != part.last; ++term)
        add(term->ratio * std::exp(there.value(term->energy)) - 1.0);
      end();
    }
  }

  // At a node, where the exponentials are known.
  Profile(const std::vector<Part>& parts, const std::vector<double>& ratios, const std::vector<double>& shares,
          std::size_t node, std::size_t nodes) {
    std::size_t i = node;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      begin(parts[k], shares[k * nodes + node]);
      for (const Term* term = parts[k].first; term != parts[k].last; ++term, i += nodes) add(ratios[i] - 1.0);
      end();
    }
  }

  double most() const { return most_; }

  Slopes at(double ns) const {
    Slopes total;
    for (const One& one : parts_) {
      const double a = ns * one.scale;
      const bool series = a * small_ < 0.02;
      double value = 0.0, slope = 0.0, bend = 0.0, product = 1.0;
      if (series) {
        const double* s = one.sums;
        value = a * (s[0] - a * (s[1] / 2 - a * (s[2] / 3 - a * (s[3] / 4 - a * s[4] / 5))));
        slope = s[0] - a * (s[1] - a * (s[2] - a * (s[3] - a * s[4])));
        bend = s[1] - a * (2 * s[2] - a * (3 * s[3] - 4 * a * s[4]));
      }
      const std::vector<double>& xs = series ? large_ : all_;
      const std::size_t from = series ? one.large_from : one.all_from, to = series ? one.large_to : one.all_to;
      for (std::size_t i = from; i < to; ++i) {
        const double factor = 1.0 + a * xs[i], d = xs[i] / factor;
        product *= factor;
        slope += d;
        bend += d * d;
        if (product > 1e100 || product < 1e-100) {
          value += std::log(product);
          product = 1.0;
        }
      }
      const double left = 1.0 / (1.0 - a);
      total.value += value + std::log(product) + one.rest * std::log1p(-a);
      total.by_ns += one.scale * (slope - one.rest * left);
      total.by_ns_twice -= one.scale * one.scale * (bend + one.rest * left * left);
    }
    return total;
  }

  // The best ns, from a guess; zero where the likelihood falls from there on.
  Maximum best(double guess) const {
    const Slopes none = at(0.0);
    if (none.by_ns <= 0.0) return {};
    double low = 0.0, high = 0.999 * most_;
    double ns = guess > low && guess < high ? guess : std::min(-none.by_ns / none.by_ns_twice, 0.5 * high);
    Slopes found;
    for (int i = 0; i < most_iterations; ++i) {
      found = at(ns);
      (found.by_ns > 0.0 ? low : high) = ns;
      // what is still to be gained in ln L
      if (found.by_ns * found.by_ns < -2.0 * accuracy * found.by_ns_twice) break;
      const double next = ns - found.by_ns / found.by_ns_twice;
      ns = next > low && next < high ? next : 0.5 * (low + high);
    }
    return {found.value, ns, 0.0};
  }

 private:
  struct One {
    double scale, rest;
    std::size_t all_from, all_to, large_from, large_to;
    double sums[5];
  };

  void begin(const Part& part, double share) {
    const double near = static_cast<double>(part.last - part.first);
    parts_.push_back({share / part.events, part.events - near, all_.size(), 0, large_.size(), 0, {0, 0, 0, 0, 0}});
    most_ = std::min(most_, part.events / share);
    all_.reserve(all_.size() + static_cast<std::size_t>(near));
  }

  void add(double x) {
    all_.push_back(x);
    if (x > small_) {
      large_.push_back(x);
      return;
    }
    double* sums = parts_.back().sums;
    double power = x;
    for (int k = 0; k < 5; ++k, power *= x) sums[k] += power;
  }

  void end() {
    parts_.back().all_to = all_.size();
    parts_.back().large_to = large_.size();
  }

  static constexpr double small_ = 10.0;
  std::vector<One> parts_;
  std::vector<double> all_, large_;
  double most_ = 1e300;
};

// The maximum between two gammas, from a guess inside: the root of the slope along the best ns, by the secant.
Maximum followed(const std::vector<Part>& parts, const Gammas& gammas, double low, double high, Maximum best) {
  double gamma = best.gamma, ns = best.ns, last_gamma = 0.0, last_slope = 0.0;
  for (int i = 0; i < most_iterations; ++i) {
    const Maximum here = Profile(parts, gammas, gamma).best(ns);
    if (here.ns <= 0.0) break;
    ns = here.ns;
    if (here.value > best.value) best = {here.value, ns, gamma};
    const double slope = point_source::log_likelihood(parts, gammas, ns, gamma).by_gamma;
    (slope > 0.0 ? low : high) = gamma;
    double next = 0.5 * (low + high);
    if (i > 0 && slope != last_slope) {
      const double secant = gamma - slope * (gamma - last_gamma) / (slope - last_slope);
      if (secant > low && secant < high) next = secant;
    }
    last_gamma = gamma;
    last_slope = slope;
    if (std::abs(next - gamma) < 1e-4 || std::abs(slope * (next - gamma)) < accuracy) break;
    gamma = next;
  }
  return best;
}

// The maximum over ns and gamma, or over ns at the starting values of gamma.
Maximum maximised(const std::vector<Part>& parts, const Gammas& gammas, bool follow, std::vector<double>& ratios) {
  const std::size_t nodes = static_cast<std::size_t>((gammas.count - 1) / stride) + 1;
  const auto gamma_of = [&](std::size_t j) { return gammas.low + gammas.step * static_cast<double>(stride * j); };
  std::vector<double> shares(parts.size() * nodes), slopes(nodes, 0.0);
  ratios.clear();
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Part& part = parts[k];
    for (std::size_t j = 0; j < nodes; ++j) {
      shares[k * nodes + j] = std::exp(part.share[2 * stride * j]);
      slopes[j] -= shares[k * nodes + j];
    }
    for (const Term* term = part.first; term != part.last; ++term)
      for (std::size_t j = 0; j < nodes; ++j) {
        const double r = term->ratio * term->powers[j];
        ratios.push_back(r);
        slopes[j] += r * shares[k * nodes + j] / part.events;
      }
  }
  std::vector<Maximum> rough(nodes);
  double guess = -1.0;
  for (std::size_t j = 0; j < nodes; ++j) {
    if (slopes[j] <= 0.0) continue;
    rough[j] = Profile(parts, ratios, shares, j, nodes).best(guess);
    rough[j].gamma = gamma_of(j);
    guess = rough[j].ns;
  }
  Maximum best;
  for (std::size_t j = 0; j < nodes; ++j) {
    const Maximum& here = rough[j];
    const bool first = j == 0, last = j + 1 == nodes;
    if (here.ns <= 0.0 || (!first && here.value < rough[j - 1].value) || (!last && here.value < rough[j + 1].value))
      continue;
    const Maximum found =
        follow ? followed(parts, gammas, gamma_of(first ? j : j - 1), gamma_of(last ? j : j + 1), here) : here;
    if (found.value > best.value) best = found;
  }
  return best;
}

template <typename Work>
void in_parallel(int threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  constexpr std::int64_t chunk = 16;
  const auto run = [&] {
    work([&] { return next.fetch_add(chunk); }, chunk);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
}

}  // namespace

extern "C" {

void* events_new(std::int64_t count, const double* ra, const double* dec, const double* sigma, const double* weight,
                 const std::int32_t* bin, double cut) {
  auto* made = new Events;
  if (count == 0) return made;
  const double largest = *std::max_element(sigma, sigma + count);
  std::vector<std::vector<std::int64_t>> members(most_classes);
  for (std::int64_t i = 0; i < count; ++i) {
    const int c = static_cast<int>(std::log2(largest / sigma[i]));
    members[std::clamp(c, 0, most_classes - 1)].push_back(i);
  }
  for (auto& ids : members) {
    if (ids.empty()) continue;
    Class group;
    double wide = 0.0;
    for (const std::int64_t i : ids) wide = std::max(wide, sigma[i]);
    group.radius = std::min(cut * wide, pi);
    group.height = std::clamp(group.radius / 3.0, 0.002, pi);
    const int bands = static_cast<int>(pi / group.height) + 1;
    std::vector<int> band(count);
    for (const std::int64_t i : ids)
      band[i] = std::clamp(static_cast<int>((dec[i] + 0.5 * pi) / group.height), 0, bands - 1);
    std::sort(ids.begin(), ids.end(), [&](std::int64_t a, std::int64_t b) {
      return std::tie(band[a], ra[a], a) < std::tie(band[b], ra[b], b);
    });
    group.start.assign(bands + 1, 0);
    for (const std::int64_t i : ids) ++group.start[band[i] + 1];
    for (int k = 0; k < bands; ++k) group.start[k + 1] += group.start[k];
    for (const std::int64_t i : ids) {
      const double kappa = 1.0 / (sigma[i] * sigma[i]);
      const double norm = weight[i] * kappa / (2.0 * pi * -std::expm1(-2.0 * kappa));
      const double reach = std::min(cut * sigma[i], pi);
      group.ra.push_back(ra[i]);
      group.events.push_back({std::cos(dec[i]) * std::cos(ra[i]), std::cos(dec[i]) * std::sin(ra[i]), std::sin(dec[i]),
                              reach >= pi ? -2.0 : std::cos(reach), kappa, norm, bin[i],
                              static_cast<std::int32_t>(i)});
    }
    made->classes.push_back(std::move(group));
  }
  return made;
}

void events_free(void* events) { delete static_cast<Events*>(events); }

void scan(std::int64_t sample_count, const Sample* samples, double gamma_low, double gamma_step, int gamma_count,
          std::int64_t positions, const double* ra, const double* dec, double nearer, int follow, int threads,
          double* ts, double* ns, double* gamma, std::int64_t* near) {
  const std::vector<Sample> all(samples, samples + sample_count);
  const Gammas gammas{gamma_low, gamma_step, gamma_count};
  in_parallel(threads, [&](const auto& next, std::int64_t chunk) {
    Position position(all, gammas);
    std::vector<double> ratios;
    for (std::int64_t from = next(); from < positions; from = next())
      for (std::int64_t i = from; i < std::min(from + chunk, positions); ++i) {
        const Maximum found = maximised(position.at(ra[i], dec[i], nearer), gammas, follow != 0, ratios);
        ts[i] = 2.0 * found.value;
        ns[i] = found.ns;
        gamma[i] = found.ns > 0.0 ? found.gamma : std::nan("");
        near[i] = static_cast<std::int64_t>(position.near());
      }
  });
}

// Log likelihood ratios at given (ns, gamma), all at every position: values[position][point].
void surface(std::int64_t sample_count, const Sample* samples, double gamma_low, double gamma_step, int gamma_count,
             std::int64_t positions, const double* ra, const double* dec, std::int64_t points, const double* ns,
             const double* gamma, int threads, double* values) {
  const std::vector<Sample> all(samples, samples + sample_count);
  const Gammas gammas{gamma_low, gamma_step, gamma_count};
  in_parallel(threads, [&](const auto& next, std::int64_t chunk) {
    Position position(all, gammas);
    for (std::int64_t from = next(); from < positions; from = next())
      for (std::int64_t i = from; i < std::min(from + chunk, positions); ++i) {
        const std::vector<Part>& parts = position.at(ra[i], dec[i]);
        std::optional<Profile> profile;  // of the last gamma
        for (std::int64_t k = 0; k < points; ++k) {
          if (k == 0 || gamma[k] != gamma[k - 1]) profile.emplace(parts, gammas, gamma[k]);
          values[i * points + k] = profile->at(ns[k]).value;
        }
      }
  });
}

// The near events of positions: how many of each sample (counts[position][sample]), and, where there is room for
// them, their ratios, bins and numbers one after the other. Returns how many there are in all.
std::int64_t near_events(std::int64_t sample_count, const Sample* samples, int gamma_count, std::int64_t positions,
                         const double* ra, const double* dec, std::int64_t room, std::int64_t* counts, double* ratio,
                         std::int32_t* bin, std::int32_t* number) {
  const std::vector<Sample> all(samples, samples + sample_count);
  const Gammas gammas{1.0, 1.0, gamma_count};
  Position position(all, gammas);
  std::vector<const Event*> seen;
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < positions; ++i) {
    seen.clear();
    std::size_t at = 0;
    for (const Part& part : position.at(ra[i], dec[i], 0.0, &seen)) {
      counts[i * sample_count] = part.last - part.first;
      counts += 1;
      for (const Term* term = part.first; term != part.last; ++term, ++at, ++total)
        if (total < room) {
          ratio[total] = term->ratio;
          bin[total] = seen[at]->bin;
          number[total] = seen[at]->number;
        }
    }
    counts -= sample_count;
  }
  return total;
}

// The near events of one source, or of several taken for one, sample by sample: the maximum (TS, ns, gamma), and log
// likelihood ratios at given (ns, gamma).
void stacked(std::int64_t sample_count, const double* events, const std::int64_t* start, const double* ratio,
             const std::int64_t* row, const double* energy, const double* density, const double* share,
             double gamma_low, double gamma_step, int gamma_count, double* best, std::int64_t points,
             const double* ns, const double* gamma, double* values) {
  const Gammas gammas{gamma_low, gamma_step, gamma_count};
  const std::int64_t width = 2 * gamma_count, density_width = (gamma_count - 1) / stride + 1;
  std::vector<Term> terms;
  for (std::int64_t i = 0; i < start[sample_count]; ++i)
    terms.push_back({ratio[i], energy + width * row[i], density + density_width * row[i]});
  std::vector<Part> parts;
  for (std::int64_t s = 0; s < sample_count; ++s)
    parts.push_back({events[s], share + width * s, terms.data() + start[s], terms.data() + start[s + 1]});
  if (best != nullptr) {
    std::vector<double> ratios;
    const Maximum found = maximised(parts, gammas, true, ratios);
    best[0] = 2.0 * found.value;
    best[1] = found.ns;
    best[2] = found.ns > 0.0 ? found.gamma : std::nan("");
  }
  std::optional<Profile> profile;  // of the last gamma
  for (std::int64_t k = 0; k < points; ++k) {
    if (k == 0 || gamma[k] != gamma[k - 1]) profile.emplace(parts, gammas, gamma[k]);
    values[k] = profile->at(ns[k]).value;
  }
}
}
