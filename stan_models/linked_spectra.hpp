// Folded spectra: the log likelihood of all channels given every parameter of the model, and its
// gradient by hand. What automatic differentiation would record for each energy and each entry of a
// response is one pass over them here: expected counts out, slopes back.
// The same in NumPy: pyxstan/spectra/folding.py, with the formulas in shapes.py and statistics.py.
#ifndef PYXSTAN_LINKED_SPECTRA_HPP
#define PYXSTAN_LINKED_SPECTRA_HPP

#include <stan/model/model_header.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <ostream>
#include <vector>

namespace pyxstan {

using Array = Eigen::ArrayXd;
using Table = std::vector<std::vector<int>>;

// A log likelihood, less that of a model that fits the counts exactly, and its slope in the expected
// counts of the source: as such it keeps its digits, however many counts there are.
struct Likelihood {
  double value, slope;
};

// Poisson: n ln(m / n) - (m - n).
inline double poisson(double n, double m) { return n == 0 ? -m : n * std::log(m / n) - (m - n); }

inline Likelihood cstat(double n, double m) { return {poisson(n, m), (n == 0 ? 0 : n / m) - 1}; }

// Poisson source and background; the expected background, alpha times b in the source, at its best.
inline Likelihood wstat(double n, double off, double alpha, double m) {
  const double c2 = alpha * (1 + alpha);
  const double c1 = (1 + alpha) * m - alpha * (n + off);
  const double root = std::sqrt(c1 * c1 + 4 * c2 * off * m);
  const double b = c1 <= 0 && c2 > 0 ? (root - c1) / (2 * c2) : m > 0 ? 2 * off * m / (root + c1) : off;
  const double on = alpha * b + m;
  return {poisson(n, on) + poisson(off, b), (n == 0 ? 0 : n / on) - 1};
}

// Poisson source, Gaussian background at its best, never below zero.
inline Likelihood pgstat(double n, double off, double error, double alpha, double m) {
  double b = off;
  if (error > 0) {
    const double variance = error * error, c = off - alpha * variance;
    const double q1 = m - alpha * c, q0 = c * m + alpha * n * variance;
    const double root = std::hypot(m + alpha * c, 2 * alpha * error * std::sqrt(n));
    b = q1 <= 0 && alpha > 0 ? (root - q1) / (2 * alpha) : root + q1 > 0 ? 2 * q0 / (root + q1) : off;
  }
  b = std::max(b, 0.0);
  const double on = alpha * b + m;
  const double t = error > 0 ? (off - b) / error : 0;
  return {poisson(n, on) - 0.5 * t * t, (n == 0 ? 0 : n / on) - 1};
}

// Gaussian source and background.
inline Likelihood chi2(double n, double error, double off, double off_error, double alpha,
                       double m) {
  const double variance = error * error + alpha * alpha * off_error * off_error;
  const double t = n - alpha * off - m;
  return {-0.5 * t * t / variance, t / variance};
}

// (exp(t) - 1) / t and its slope.
inline void growth(double t, double& value, double& slope) {
  if (std::fabs(t) < 0.02) {
    value = 1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6))));
    slope = 0.5 + t * (1.0 / 3 + t * (1.0 / 8 + t * (1.0 / 30 + t * (1.0 / 144 + t / 840))));
  } else {
    const double whole = std::exp(t);
    value = std::expm1(t) / t;
    slope = (whole - value) / t;
  }
}

// The edges of the bins, then their middles: 2 bins + 1 points.
struct Grid {
  Eigen::Index bins;
  Array energy, log_energy;

  auto low(const Array& a) const { return a.head(bins); }
  auto high(const Array& a) const { return a.segment(1, bins); }
  auto middle(const Array& a) const { return a.tail(bins); }

  // Sum of the three points by Simpson's rule, times 6 over the width.
  Array simpson(const Array& a) const { return low(a) + high(a) + 4 * middle(a); }
};

// Half a bin in units of the exponential's fold, up to which Simpson's rule is good to 5e-9.
constexpr double NARROW = 0.03;

// Wider instructions where the processor has them; these functions hand on no types of Eigen's, whose
// alignment would depend on that.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define PYXSTAN_WIDE __attribute__((target_clones("default", "avx2,fma"), optimize("O3", "fast-math")))
#else
#define PYXSTAN_WIDE
#endif

// Half a bin in units of the fold, from which on the weights below have a closed form that keeps its
// digits; below it, so many terms of their series, of even and of odd powers.
constexpr double CLOSED = 0.5;
constexpr int TERMS = 8;

// Coefficients of that series: of the weight at the upper end by powers of 2 t, of that in the middle by
// powers of t^2; and of their slopes in t.
struct Series {
  double even[TERMS], odd[TERMS], even_slope[TERMS], odd_slope[TERMS], middle[TERMS], middle_slope[TERMS];
  Series() {
    double of[2 * TERMS + 1], factorial = 6;  // (n + 3)!
    for (int n = 0; n <= 2 * TERMS; ++n) {
      of[n] = 6 * (1 - n) / factorial;
      factorial *= n + 4;
    }
    for (int k = 0; k < TERMS; ++k) {
      const int n = 2 * k;
      even[k] = of[n], odd[k] = of[n + 1];
      even_slope[k] = 2 * (n + 2) * of[n + 2], odd_slope[k] = 2 * (n + 1) * of[n + 1];
    }
    factorial = 6;  // (2 k + 3)!
    for (int k = 0; k < TERMS; ++k) {
      middle[k] = 12 * (2 * k + 2) / factorial;
      factorial *= (2 * k + 4) * (2 * k + 5);
      middle_slope[k] = 2 * (k + 1) * 12 * (2 * k + 4) / factorial;
    }
  }
};
inline const Series SERIES;

// The weights by their series where t is small, in the order low, middle, high, and their slopes in t.
PYXSTAN_WIDE static void small_weights(const double* __restrict t, Eigen::Index size, double* __restrict low,
                                       double* __restrict middle, double* __restrict high,
                                       double* __restrict low_slope, double* __restrict middle_slope,
                                       double* __restrict high_slope) {
  const Series of = SERIES;
  for (Eigen::Index j = 0; j < size; ++j) {
    const double at = t[j] < CLOSED ? t[j] : CLOSED, t2 = at * at, x2 = 4 * t2;
    double even = 0, odd = 0, even_slope = 0, odd_slope = 0, in_middle = 0, in_middle_slope = 0;
    for (int k = TERMS - 1; k >= 0; --k) {
      even = even * x2 + of.even[k];
      odd = odd * x2 + of.odd[k];
      even_slope = even_slope * x2 + of.even_slope[k];
      odd_slope = odd_slope * x2 + of.odd_slope[k];
      in_middle = in_middle * t2 + of.middle[k];
      in_middle_slope = in_middle_slope * t2 + of.middle_slope[k];
    }
    low[j] = even - 2 * at * odd, high[j] = even + 2 * at * odd, middle[j] = in_middle;
    low_slope[j] = 2 * at * even_slope - odd_slope, high_slope[j] = 2 * at * even_slope + odd_slope;
    middle_slope[j] = at * in_middle_slope;
  }
}

// A rule of integration for f(E) = s(E) exp(-E / fold), which is exact where s is a parabola; its
// weights in units of a sixth of the bin, and their slopes in the parameter `of`. With half a bin
// in units of `fold`, t, they are high(t) = sum_n 6 (1 - n) (2 t)^n / (n + 3)!, high(-t) at the lower
// end, and 12 (t cosh(t) - sinh(t)) / t^3 in the middle: 1, 1 and 4 at zero.
struct Rule {
  // Columns: low, middle, high, and their slopes.
  Eigen::ArrayXXd weights;
  int of = -1;

  Array sum(const Grid& grid, const Array& a, int first = 0) const {
    return weights.col(first) * grid.low(a) + weights.col(first + 1) * grid.middle(a) +
           weights.col(first + 2) * grid.high(a);
  }
  Array slope(const Grid& grid, const Array& a) const { return sum(grid, a, 3); }
};

// A line's width in halves of a bin, from which on the line is a parabola there.
constexpr double SMOOTH = 10;

// The rule for a flux that falls with exp(-E / fold); empty where Simpson's is as good. As t times the
// weight in the middle overflows long after the flux has gone, t has an end.
inline Rule falling(const Grid& grid, double fold, int of) {
  Rule rule;
  const Array half = (grid.high(grid.energy) - grid.low(grid.energy)) / (2 * fold);
  if (!(half.maxCoeff() > NARROW)) {
    return rule;
  }
  rule.of = of;
  auto& w = rule.weights;
  w.resize(grid.bins, 6);
  small_weights(half.data(), grid.bins, &w(0, 0), &w(0, 1), &w(0, 2), &w(0, 3), &w(0, 4), &w(0, 5));
  for (Eigen::Index j = 0; j < grid.bins; ++j) {
    if (half[j] <= CLOSED) {
      continue;
    }
    const double t = std::min(half[j], 300.0), t2 = t * t, t3 = t2 * t, up = std::exp(t), down = 1 / up;
    const double s = 0.5 * (up - down), c = 0.5 * (up + down), d = -4 * s / t2 + 12 * c / t3 - 12 * s / (t2 * t2);
    w(j, 0) = 1.5 * (2 / t - (down * down + 3) / t2 + 2 * (1 - down * down) / t3);
    w(j, 1) = 12 * (t * c - s) / t3;
    w(j, 2) = 1.5 * (-2 / t - (up * up + 3) / t2 + 2 * (up * up - 1) / t3);
    w(j, 3) = 1.5 * down * d, w(j, 4) = -3 * d, w(j, 5) = 1.5 * up * d;
  }
  for (int k = 3; k < 6; ++k) {
    w.col(k) *= -half / fold;
  }
  return rule;
}

// A component's photon flux at the points of a grid, and its slopes in its parameters: in the first,
// the norm, it is the flux over that.
struct Flux {
  Array value;
  std::vector<Array> slopes;
  // The integral of a bin over its estimate by Simpson's rule, and the slope of its logarithm in the
  // parameter `of`: where there is a closed form. Empty: one.
  Array correction, log_slope;
  int of = -1;
  // Instead of Simpson's rule; empty where that will do.
  Rule rule;
};

// For f(E) ~ E^index, whose integral over a bin is f(low) low length growth(n length), n = index + 1,
// length = ln(high / low); and where n length is not small, [f(high) high - f(low) low] / n.
inline void power_law_correction(const Grid& grid, double index, Flux& flux) {
  const double n = index + 1;
  const Array f_low = grid.low(flux.value), f_high = grid.high(flux.value);
  const Array low = grid.low(grid.energy), high = grid.high(grid.energy);
  const Array length = grid.high(grid.log_energy) - grid.low(grid.log_energy);
  const Array sum = grid.simpson(flux.value);
  const Array at_low = grid.low(flux.slopes[1]), at_high = grid.high(flux.slopes[1]);
  Array whole, slope;
  if ((std::fabs(n) * length).minCoeff() > 0.02) {
    whole = (f_high * high - f_low * low) / n;
    slope = (at_high * high - at_low * low - whole) / n;
  } else {
    whole.resize(grid.bins);
    slope.resize(grid.bins);
    for (Eigen::Index j = 0; j < grid.bins; ++j) {
      double value, grows;
      growth(n * length[j], value, grows);
      whole[j] = f_low[j] * low[j] * length[j] * value;
      slope[j] = low[j] * length[j] * (at_low[j] * value + f_low[j] * length[j] * grows);
    }
  }
  const auto any = whole > 0 && sum > 0;
  flux.correction = any.select(6 * whole / (sum * (high - low)), 1.0);
  flux.log_slope = any.select(slope / whole - grid.simpson(flux.slopes[1]) / sum, 0.0);
  flux.of = 1;
}

// Entries of responses are single precision in their files. As such they take half of the memory,
// whose speed is what folding takes. Each data set registers a copy of its own, once; the copy is
// empty where it would not hold the same numbers. Equal entries share one.
class Copies {
 public:
  static Copies& all() {
    static Copies copies;
    return copies;
  }

  template <typename Vector>
  int add(const Vector& entries) {
    std::vector<float> copy(entries.data(), entries.data() + entries.size());
    if (!std::equal(copy.begin(), copy.end(), entries.data())) {
      copy.clear();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find(copies_.begin(), copies_.end(), copy);
    if (found != copies_.end()) {
      return static_cast<int>(found - copies_.begin());
    }
    copies_.push_back(std::move(copy));
    return static_cast<int>(copies_.size()) - 1;
  }

  // Null where there is none.
  const float* at(int number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto& copy = copies_[static_cast<std::size_t>(number)];
    return copy.empty() ? nullptr : copy.data();
  }

 private:
  std::mutex mutex_;
  std::deque<std::vector<float>> copies_;  // which stay where they are
};

#define PYXSTAN_FOLDING(NUMBER)                                                                    \
  /* the sum of x[i] y[i] */                                                                       \
  PYXSTAN_WIDE static double sum_of_products(const NUMBER* __restrict x, const double* __restrict y, \
                                             Eigen::Index size) {                                  \
    double sum = 0;                                                                                \
    for (Eigen::Index i = 0; i < size; ++i) {                                                      \
      sum += static_cast<double>(x[i]) * y[i];                                                     \
    }                                                                                              \
    return sum;                                                                                    \
  }                                                                                                \
  /* y[i] += a x[i] */                                                                             \
  PYXSTAN_WIDE static void add_times(double a, const NUMBER* __restrict x, Eigen::Index size,      \
                                     double* __restrict y) {                                       \
    for (Eigen::Index i = 0; i < size; ++i) {                                                      \
      y[i] += a * static_cast<double>(x[i]);                                                       \
    }                                                                                              \
  }                                                                                                \
  /* the same of four rows at once, for which y is read and written but once */                    \
  PYXSTAN_WIDE static void add_sums_of_products(const NUMBER* __restrict x0, const NUMBER* __restrict x1, \
                                                const NUMBER* __restrict x2, const NUMBER* __restrict x3, \
                                                const double* __restrict y, Eigen::Index size,     \
                                                double* __restrict sums) {                         \
    double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;                                                 \
    for (Eigen::Index i = 0; i < size; ++i) {                                                      \
      sum0 += static_cast<double>(x0[i]) * y[i];                                                   \
      sum1 += static_cast<double>(x1[i]) * y[i];                                                   \
      sum2 += static_cast<double>(x2[i]) * y[i];                                                   \
      sum3 += static_cast<double>(x3[i]) * y[i];                                                   \
    }                                                                                              \
    sums[0] += sum0, sums[1] += sum1, sums[2] += sum2, sums[3] += sum3;                            \
  }                                                                                                \
  PYXSTAN_WIDE static void add_multiples(const double* a, const NUMBER* __restrict x0,             \
                                         const NUMBER* __restrict x1, const NUMBER* __restrict x2, \
                                         const NUMBER* __restrict x3, Eigen::Index size,           \
                                         double* __restrict y) {                                   \
    const double a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];                                       \
    for (Eigen::Index i = 0; i < size; ++i) {                                                      \
      y[i] += a0 * static_cast<double>(x0[i]) + a1 * static_cast<double>(x1[i]) +                  \
              a2 * static_cast<double>(x2[i]) + a3 * static_cast<double>(x3[i]);                   \
    }                                                                                              \
  }
PYXSTAN_FOLDING(float)
PYXSTAN_FOLDING(double)

// A run of entries of a row of the response, from a bin on.
struct Run {
  Eigen::Index bin, at, size;
};

// Up to four rows, each read for what is expected in its group and, while still at hand, for the slopes.
template <typename Number>
class Rows {
 public:
  explicit Rows(const Number* entries) : entries_(entries) {}

  void clear() {
    runs_.clear();
    count_ = 0;
  }
  void add(const Run& run) { runs_.push_back(run); }
  void end_row() { end_[++count_] = runs_.size(); }

  // sums[r] = sum of the entries times photons.
  void fold(const double* photons, double* sums) {
    low_ = high_ = 0;
    if (count_ == SIZE && end_[1] == 1 && end_[2] == 2 && end_[3] == 3 && end_[4] == 4) {  // a run in each
      high_ = std::numeric_limits<Eigen::Index>::max();
      for (const Run& run : runs_) {
        low_ = std::max(low_, run.bin);
        high_ = std::min(high_, run.bin + run.size);
      }
    }
    for (int r = 0; r < count_; ++r) {
      sums[r] = 0;
      apart(r, [&](const Number* x, Eigen::Index size, Eigen::Index bin) {
        sums[r] += sum_of_products(x, photons + bin, size);
      });
    }
    if (low_ < high_) {
      add_sums_of_products(common(0), common(1), common(2), common(3), photons + low_, high_ - low_, sums);
    }
  }

  // slopes += sum of the entries times of_row[r].
  void back(const double* of_row, double* slopes) const {
    for (int r = 0; r < count_; ++r) {
      apart(r, [&](const Number* x, Eigen::Index size, Eigen::Index bin) {
        add_times(of_row[r], x, size, slopes + bin);
      });
    }
    if (low_ < high_) {
      add_multiples(of_row, common(0), common(1), common(2), common(3), high_ - low_, slopes + low_);
    }
  }

  static constexpr int SIZE = 4;

 private:
  const Number* common(int r) const { return entries_ + runs_[r].at + (low_ - runs_[r].bin); }

  // What a row has outside of the bins that are common to all four.
  template <typename Do>
  void apart(int r, const Do& act) const {
    for (std::size_t k = end_[r]; k < end_[r + 1]; ++k) {
      const Run& run = runs_[k];
      const Eigen::Index end = run.bin + run.size;
      const Eigen::Index left = low_ < high_ ? low_ : end, right = low_ < high_ ? high_ : end;
      if (run.bin < left) {
        act(entries_ + run.at, left - run.bin, run.bin);
      }
      if (right < end) {
        act(entries_ + run.at + (right - run.bin), end - right, right);
      }
    }
  }

  const Number* entries_;
  std::vector<Run> runs_;
  std::size_t end_[SIZE + 1] = {};
  int count_ = 0;
  Eigen::Index low_ = 0, high_ = 0;
};

enum { POWERLAW = 1, POWERLAW_FLUX, CUTOFF_POWERLAW, BLACKBODY, BAND, BREMSSTRAHLUNG, GAUSSIAN_LINE };

// A Gaussian line of one photon: its integrals over the bins behind gas, and their slopes in its energy,
// in its width, and in the columns of the absorbers.
using Line = std::vector<Array>;

// What the gas lets through is taken for a parabola in a bin, through its three points `passed`; the
// line's moments in the bin, in halves of it from its middle, say what that is of the line. Where the
// bin is far narrower than the line, the line is taken for a parabola instead.
inline Line line(const Grid& grid, double mu, double sigma, const Array& passed, const std::vector<Array>& cross) {
  const auto density = [](double z) { return std::exp(-0.5 * z * z) / std::sqrt(2 * M_PI); };
  const Eigen::Index size = grid.bins;
  const Array low = grid.low(grid.energy), high = grid.high(grid.energy);
  Line found(3 + cross.size(), Array(size));
  for (Eigen::Index j = 0; j < size; ++j) {
    const double a = (low[j] - mu) / sigma, b = (high[j] - mu) / sigma;
    const double part = a > 0 ? 0.5 * (std::erfc(a * M_SQRT1_2) - std::erfc(b * M_SQRT1_2))
                              : 0.5 * (std::erfc(-b * M_SQRT1_2) - std::erfc(-a * M_SQRT1_2));
    const double at_a = density(a), at_b = density(b);
    const double by_mu = (at_a - at_b) / sigma, by_sigma = (a * at_a - b * at_b) / sigma;
    if (cross.empty()) {
      found[0][j] = part, found[1][j] = by_mu, found[2][j] = by_sigma;
      continue;
    }
    const double half = 0.5 * (high[j] - low[j]), s = sigma / half;
    double w[3], w_mu[3], w_sigma[3];  // weights of the three points
    if (s < SMOOTH) {
      const double m = (mu - 0.5 * (low[j] + high[j])) / half, first = at_a - at_b;
      const double m1 = m * part + s * first;
      const double m2 = m * m * part + 2 * m * s * first + s * s * (part + a * at_a - b * at_b);
      const double m1_mu = part / half - (at_a + at_b) / sigma, m2_mu = by_mu + 2 * m1 / half;
      const double m1_sigma = first / half - (a * at_a + b * at_b) / sigma;
      const double m2_sigma = by_sigma + 2 / half * (s * part - at_a - at_b);
      w[0] = 0.5 * (m2 - m1), w[1] = part - m2, w[2] = 0.5 * (m2 + m1);
      w_mu[0] = 0.5 * (m2_mu - m1_mu), w_mu[1] = by_mu - m2_mu, w_mu[2] = 0.5 * (m2_mu + m1_mu);
      w_sigma[0] = 0.5 * (m2_sigma - m1_sigma), w_sigma[1] = by_sigma - m2_sigma;
      w_sigma[2] = 0.5 * (m2_sigma + m1_sigma);
    } else {
      // relative to the end that is next to the line
      const double z[] = {a, 0.5 * (a + b), b}, least = a > 0 ? a : b < 0 ? b : 0;
      double sum = 0, slope = 0, slope_sigma = 0;
      for (int i = 0; i < 3; ++i) {
        w[i] = (i == 1 ? 4 : 1) * std::exp(-0.5 * (z[i] * z[i] - least * least));
        sum += w[i], slope += w[i] * z[i], slope_sigma += w[i] * z[i] * z[i];
      }
      for (int i = 0; i < 3; ++i) {
        w[i] /= sum;
        w_mu[i] = w[i] * (by_mu + part * (z[i] - slope / sum) / sigma);
        w_sigma[i] = w[i] * (by_sigma + part * (z[i] * z[i] - slope_sigma / sum) / sigma);
        w[i] *= part;
      }
    }
    const Eigen::Index at[] = {j, size + 1 + j, j + 1};
    for (auto& one : found) {
      one[j] = 0;
    }
    for (int i = 0; i < 3; ++i) {
      const double through = passed[at[i]];
      found[0][j] += w[i] * through, found[1][j] += w_mu[i] * through, found[2][j] += w_sigma[i] * through;
      for (std::size_t k = 0; k < cross.size(); ++k) {
        found[3 + k][j] -= w[i] * through * cross[k][at[i]];
      }
    }
  }
  return found;
}

// A line that is narrower than the response's bins, whose middles are given by the grid's bins: it is
// shared by the two bins whose middles are next to it, in proportion, so that its energy matters within
// a bin. That goes over into the line's own integrals as its width becomes half of a bin's. What is moved
// from bin to bin is let through as the line is on the whole; `bare` is the line without any gas.
inline void share(const Grid& grid, const Array& middles, double mu, double sigma, const Line& bare, Line& line) {
  const auto cumulated = [](double z) { return 0.5 * std::erfc(-z * M_SQRT1_2); };
  const auto density = [](double z) { return std::exp(-0.5 * z * z) / std::sqrt(2 * M_PI); };
  const double whole = bare[0].sum();
  if (!(whole > 0)) {
    return;
  }
  const double through = line[0].sum() / whole;
  std::vector<double> through_slopes(line.size());
  for (std::size_t k = 1; k < line.size(); ++k) {
    through_slopes[k] = (line[k].sum() - (k < 3 ? through * bare[k].sum() : 0)) / whole;
  }
  for (Eigen::Index j = 1; j < grid.bins; ++j) {
    const double first = middles[j - 1], last = middles[j], width = last - first, ratio = 2 * sigma / width;
    if (!(ratio < 1) || mu < first - 9 * sigma || mu > last + 9 * sigma) {
      continue;
    }
    const double root = 1 - ratio * ratio, part = root * root, part_slope = -16 * root * sigma / (width * width);
    const double z0 = (first - mu) / sigma, z1 = (last - mu) / sigma, z = (grid.energy[j] - mu) / sigma;
    const double p0 = cumulated(z0), p1 = cumulated(z1), d0 = density(z0), d1 = density(z1);
    // what is in the bins before this edge if the line is shared, and if it isn't
    const double shared = ((last - mu) * p1 - (first - mu) * p0 + sigma * (d1 - d0)) / width;
    const double moved = shared - cumulated(z);
    const double slopes[] = {0, part * (density(z) / sigma - (p1 - p0) / width),
                             part_slope * moved + part * ((d1 - d0) / width + z * density(z) / sigma)};
    for (std::size_t k = 0; k < line.size(); ++k) {
      const double more = k == 0 ? through * part * moved
                                 : through_slopes[k] * part * moved + (k < 3 ? through * slopes[k] : 0);
      line[k][j - 1] += more;
      line[k][j] -= more;
    }
  }
}

// Nothing where rounding, or a parabola, leaves a bin of the response less than that.
inline void clip(const Array& middles, Line& line) {
  const Eigen::Index size = middles.size();
  for (Eigen::Index j = 0, end; j < size; j = end) {
    for (end = j + 1; end < size && middles[end] == middles[j]; ++end) {
    }
    if (line[0].segment(j, end - j).sum() < 0) {
      for (auto& one : line) {
        one.segment(j, end - j).setZero();
      }
    }
  }
}

inline Flux flux_of(int type, const Grid& grid, const std::vector<double>& p, const Eigen::VectorXd& fixed) {
  const Array &e = grid.energy, &log_e = grid.log_energy;
  Flux flux;
  flux.slopes.resize(p.size());
  if (type == POWERLAW || type == CUTOFF_POWERLAW) {  // K, index (, xc); pivot
    const Array log_ratio = log_e - std::log(fixed[0]);
    Array shape = (p[1] * log_ratio).exp();
    if (type == CUTOFF_POWERLAW) {
      shape *= (-e / p[2]).exp();
    }
    flux.value = p[0] * shape;
    flux.slopes[0] = shape;
    flux.slopes[1] = flux.value * log_ratio;
    if (type == CUTOFF_POWERLAW) {
      flux.slopes[2] = flux.value * e / (p[2] * p[2]);
      flux.rule = falling(grid, p[2], 2);
    } else {
      power_law_correction(grid, p[1], flux);
    }
  } else if (type == POWERLAW_FLUX) {  // F, index; a, b
    const double log_a = std::log(fixed[0]), length = std::log(fixed[1]) - log_a;
    double value, slope;
    growth((p[1] + 1) * length, value, slope);
    // the integral of (E / a)^index from a to b
    const double whole = fixed[0] * length * value;
    const Array log_ratio = log_e - log_a;
    flux.slopes[0] = (p[1] * log_ratio).exp() / whole;
    flux.value = p[0] * flux.slopes[0];
    flux.slopes[1] = flux.value * (log_ratio - length * slope / value);
    power_law_correction(grid, p[1], flux);
  } else if (type == BLACKBODY) {  // K, kT
    const Array t = e / p[1];
    const Array down = (-t).exp();
    const Array rest = t.binaryExpr(down, [](double u, double d) { return u < 0.3 ? -std::expm1(-u) : 1 - d; });
    flux.slopes[0] = e * e * down / rest;
    flux.value = p[0] * flux.slopes[0];
    flux.slopes[1] = flux.value * t / (p[1] * rest);
    flux.rule = falling(grid, p[1], 1);
  } else if (type == BREMSSTRAHLUNG) {  // K, kT
    flux.slopes[0] = (-e / p[1]).exp() / e;
    flux.value = p[0] * flux.slopes[0];
    flux.slopes[1] = flux.value * e / (p[1] * p[1]);
    flux.rule = falling(grid, p[1], 1);
  } else if (type == BAND) {  // K, alpha, beta, xp; pivot
    const double a = p[1], b = p[2], peak = p[3], log_piv = std::log(fixed[0]);
    const double scale = peak / (2 + a), split = (a - b) * scale, log_split = std::log(split);
    const Eigen::Index size = e.size();
    for (auto& slope : flux.slopes) {
      slope.resize(size);
    }
    flux.value.resize(size);
    // where it isn't defined there is no likelihood
    const double defined = a > b && a > -2 ? 1 : std::numeric_limits<double>::quiet_NaN();
    for (Eigen::Index i = 0; i < size; ++i) {
      const double u = log_e[i] - log_piv;
      if (e[i] < split) {
        const double shape = defined * std::exp(a * u - e[i] / scale);
        flux.slopes[0][i] = shape;
        flux.value[i] = p[0] * shape;
        flux.slopes[1][i] = flux.value[i] * (u - e[i] / peak);
        flux.slopes[2][i] = 0;
        flux.slopes[3][i] = flux.value[i] * e[i] / (scale * peak);
      } else {
        const double v = log_split - log_piv;
        const double shape = defined * std::exp((a - b) * v + b - a + b * u);
        flux.slopes[0][i] = shape;
        flux.value[i] = p[0] * shape;
        // split = (a - b) peak / (2 + a)
        flux.slopes[1][i] = flux.value[i] * (v - (a - b) / (2 + a));
        flux.slopes[2][i] = flux.value[i] * (u - v);
        flux.slopes[3][i] = flux.value[i] * (a - b) / peak;
      }
    }
  }
  return flux;
}

}  // namespace pyxstan

// Keeps the entries of a response in single precision; the number of the copy, for `folded`.
template <typename Value>
int single_precision(const Value& value, std::ostream*) {
  const auto& entries = stan::math::to_ref(value);
  return pyxstan::Copies::all().add(entries);
}

// Columns of the tables, from 1 in Stan:
//   spectrum   statistic, first point, bins, first group, groups, first segment, segments, constant
//   term       spectrum, source
//   component  source, type, four parameters (0: none)
//   absorber   spectrum, source, parameter, first optical depth
//   segment    of a row of the response: group of the spectrum, first bin, first value; by groups, and
//              one more at the end
template <bool propto, typename X, typename Fixed, typename Energy, typename LogEnergy, typename Sigma,
          typename Area, typename Middle, typename Value, typename Counts>
stan::return_type_t<X> folded_lpdf(const X& x_arg, const pyxstan::Table& spectrum, const pyxstan::Table& term,
                                   const pyxstan::Table& component, const Fixed& fixed_arg,
                                   const pyxstan::Table& absorber, const Energy& energy_arg, const LogEnergy& log_energy_arg,
                                   const Sigma& sigma_arg, const Area& area_arg, const Middle& middle_arg,
                                   const pyxstan::Table& segment, const Value& value_arg, const int& copy,
                                   const Counts& counts_arg, std::ostream*) {
  using pyxstan::Array;
  using stan::math::to_ref;
  const auto& x_ref = to_ref(x_arg);
  const Eigen::VectorXd x = stan::math::value_of(x_ref);
  const auto& energy = to_ref(energy_arg);
  const auto& log_energy = to_ref(log_energy_arg);
  const auto& sigma = to_ref(sigma_arg);
  const auto& area = to_ref(area_arg);
  const auto& middle = to_ref(middle_arg);
  const auto& value = to_ref(value_arg);
  const auto& counts = to_ref(counts_arg);  // counts, their error, background, its error, alpha
  const auto& fixed = to_ref(fixed_arg);
  const float* entries = pyxstan::Copies::all().at(copy);
  Eigen::VectorXd gradient = Eigen::VectorXd::Zero(x.size());
  double lp = 0;

  struct Slope {
    int parameter;
    Array of_flux;
  };
  Eigen::Index first_bin = 0;
  for (std::size_t s = 0; s < spectrum.size(); ++s) {
    const auto& row = spectrum[s];
    const Eigen::Index bins = row[2], groups = row[4], group_at = row[3] - 1;
    const pyxstan::Grid grid{bins, energy.segment(row[1] - 1, 2 * bins + 1).array(),
                             log_energy.segment(row[1] - 1, 2 * bins + 1).array()};
    const Array middles = middle.segment(first_bin, bins).array();
    const Array sixth = (grid.high(grid.energy) - grid.low(grid.energy)) / 6;
    Array flux = Array::Zero(bins);
    std::vector<Slope> slopes;
    for (std::size_t t = 0; t < term.size(); ++t) {
      if (term[t][0] != static_cast<int>(s) + 1) {
        continue;
      }
      const int source = term[t][1];
      std::vector<std::size_t> absorbers;
      std::vector<Array> cross;  // of each absorber, for a column of one
      Array depth = Array::Zero(2 * bins + 1);
      for (std::size_t a = 0; a < absorber.size(); ++a) {
        if (absorber[a][0] == static_cast<int>(s) + 1 && absorber[a][1] == source) {
          absorbers.push_back(a);
          cross.push_back(sigma.segment(absorber[a][3] - 1, 2 * bins + 1).array());
          depth += x[absorber[a][2] - 1] * cross.back();
        }
      }
      const bool bare = absorbers.empty();
      const Array passed = bare ? Array() : Array((-depth).exp());
      for (std::size_t c = 0; c < component.size(); ++c) {
        if (component[c][0] != source) {
          continue;
        }
        std::vector<int> which;
        std::vector<double> p;
        for (int k = 2; k < 6 && component[c][k] > 0; ++k) {
          which.push_back(component[c][k] - 1);
          p.push_back(x[which.back()]);
        }
        if (component[c][1] == pyxstan::GAUSSIAN_LINE) {  // F, mu, sigma; whether it is shared
          const double width = std::max(p[2], 1e-10);
          pyxstan::Line line = pyxstan::line(grid, p[1], width, passed, cross);
          if (fixed(c, 0) > 0) {
            const auto without = bare ? line : pyxstan::line(grid, p[1], width, passed, {});
            pyxstan::share(grid, middles, p[1], width, without, line);
          }
          pyxstan::clip(middles, line);
          flux += p[0] * line[0];
          for (std::size_t k = 1; k < line.size(); ++k) {
            slopes.push_back({k < 3 ? which[k] : absorber[absorbers[k - 3]][2] - 1, p[0] * line[k]});
          }
          slopes.push_back({which[0], std::move(line[0])});
          continue;
        }
        const pyxstan::Flux found = pyxstan::flux_of(component[c][1], grid, p, fixed.row(c).transpose());
        // the integral over each bin of what passes the absorbers
        auto over_bins = [&](const Array& of) -> Array {
          return sixth * (found.rule.of < 0 ? grid.simpson(of) : found.rule.sum(grid, of));
        };
        auto integral = [&](const Array& of) { return bare ? over_bins(of) : over_bins(of * passed); };
        const bool corrected = found.of >= 0;
        Array one = integral(found.slopes[0]);  // for a norm of one
        if (corrected) {
          one *= found.correction;
        }
        const Array here = p[0] * one;
        slopes.push_back({which[0], std::move(one)});
        for (std::size_t k = 1; k < which.size(); ++k) {
          Array slope = integral(found.slopes[k]);
          if (static_cast<int>(k) == found.rule.of) {
            slope += sixth * (bare ? found.rule.slope(grid, found.value) : found.rule.slope(grid, found.value * passed));
          }
          if (corrected) {
            slope *= found.correction;
            if (static_cast<int>(k) == found.of) {
              slope += here * found.log_slope;
            }
          }
          slopes.push_back({which[k], std::move(slope)});
        }
        for (std::size_t a = 0; a < absorbers.size(); ++a) {
          Array slope = integral(-found.value * cross[a]);
          if (corrected) {
            slope *= found.correction;
          }
          slopes.push_back({absorber[absorbers[a]][2] - 1, std::move(slope)});
        }
        flux += here;
      }
    }

    // Fold: the response by its rows, each of which is read once. Its counts are expected from it, their
    // likelihood has a slope, and what that says of the photons goes back through it.
    const double constant = row[7] > 0 ? x[row[7] - 1] : 1;
    const Array seen = constant * flux * area.segment(first_bin, bins).array();
    Array slope(Array::Zero(bins));
    const std::size_t end = row[5] - 1 + row[6];
    const auto fold = [&](auto rows) {
      std::size_t k = row[5] - 1;
      constexpr Eigen::Index most = decltype(rows)::SIZE;
      double expected[most], slopes_of[most];
      for (Eigen::Index g = 0; g < groups; g += most) {
        const int several = static_cast<int>(std::min(most, groups - g));
        rows.clear();
        for (int r = 0; r < several; ++r) {
          for (; k < end && segment[k][0] == g + r + 1; ++k) {
            rows.add({segment[k][1] - 1, segment[k][2] - 1, segment[k + 1][2] - segment[k][2]});
          }
          rows.end_row();
        }
        rows.fold(seen.data(), expected);
        for (int r = 0; r < several; ++r) {
          double m = expected[r];
          if (m < 0 && row[0] != 4) {  // entries of a response may be negative; Poisson counts are not
            lp = -std::numeric_limits<double>::infinity();
            m = 0;
          }
          const auto of = counts.row(group_at + g + r);
          const pyxstan::Likelihood found = row[0] == 1   ? pyxstan::cstat(of[0], m)
                                            : row[0] == 2 ? pyxstan::wstat(of[0], of[2], of[4], m)
                                            : row[0] == 3 ? pyxstan::pgstat(of[0], of[2], of[3], of[4], m)
                                                          : pyxstan::chi2(of[0], of[1], of[2], of[3], of[4], m);
          lp += found.value;
          slopes_of[r] = found.slope;
        }
        rows.back(slopes_of, slope.data());
      }
    };
    entries ? fold(pyxstan::Rows<float>(entries)) : fold(pyxstan::Rows<double>(value.data()));
    slope *= area.segment(first_bin, bins).array();
    for (const Slope& one : slopes) {
      gradient[one.parameter] += constant * (slope * one.of_flux).sum();
    }
    if (row[7] > 0) {
      gradient[row[7] - 1] += (slope * flux).sum();
    }
    first_bin += bins;
  }

  auto ops = stan::math::make_partials_propagator(x_ref);
  if constexpr (!stan::is_constant_all<X>::value) {
    stan::math::partials<0>(ops) = std::move(gradient);
  }
  return ops.build(std::isnan(lp) ? -std::numeric_limits<double>::infinity() : lp);
}

#endif
