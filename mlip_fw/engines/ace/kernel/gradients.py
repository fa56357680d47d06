"""From derivatives with respect to atomic base sums to forces and virial (compiled)."""

from __future__ import annotations

from typing import Any

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.stages import first_legendre, next_legendre, next_slope
from mlip_fw.engines.ace.kernel.vector import WIDTH, load, muladd, read, read_int, spread, store, total, write
from mlip_fw.engines.ace.pairs import Pairs


@compiled
def fill_gradient(place: int, space: Space, element: Element, s: Memory) -> None:
    """Compute the derivatives of an atom's energy with respect to the positions of its neighbours at a place."""
    capacity, d, g = s.capacity, s.directions, s.gradient
    for k in range(0, space.n_k * WIDTH, WIDTH):
        store(s.weighted, k, spread(0.0))
        store(s.weighted_slopes, k, spread(0.0))
    for p in range(0, read_int(s.counts, place), WIDTH):
        at, at_d = place * space.width * capacity + p, 5 * place * capacity + p
        for t in range(0, 4 * element.n_groups, 4):
            k_low, k_high = read_int(element.groups, t), read_int(element.groups, t + 1)
            used, channels = read_int(element.groups, t + 2), read_int(element.groups, t + 3) * space.n_n
            fours = k_low + (k_high - k_low) // 4 * 4
            for k in range(k_low, fours, 4):
                weigh_four(k, at, used, channels, space, s)
            for k in range(fours, k_high, 2):
                weigh_two(k, min(k + 1, k_high - 1), at, used, channels, space, s)
        ux, uy, uz = load(d, at_d), load(d, at_d + capacity), load(d, at_d + 2 * capacity)
        gx, gy, gz, radial = angular_gradient(ux, uy, uz, space, s)
        inverse = load(d, at_d + 4 * capacity)
        # as a polynomial in x, y, z the harmonic also changes along the unit vector; that part is projected out
        along = radial + load(s.slopes, at + space.pair * capacity) - inverse * (ux * gx + uy * gy + uz * gz)
        store(g, p, muladd(along, ux, inverse * gx))
        store(g, p + capacity, muladd(along, uy, inverse * gy))
        store(g, p + 2 * capacity, muladd(along, uz, inverse * gz))


@compiled
def weigh_four(k: int, at: int, used: int, channels: int, space: Space, s: Memory) -> None:
    """Compute Σ_n w(n, k) R(n) and Σ_n w(n, k) R'(n) of eight neighbours for four harmonics from ``k`` on.

    With eight independent accumulators the latency of the multiply-add units is hidden.
    """
    a0, a1, a2, a3 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    b0, b1, b2, b3 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for m in range(used):
        row, at_w = at + read_int(space.channels, channels + m) * s.capacity, m * space.n_k + k
        value, slope = load(s.values, row), load(s.slopes, row)
        w = spread(read(s.sums, at_w))
        a0, b0 = muladd(w, value, a0), muladd(w, slope, b0)
        w = spread(read(s.sums, at_w + 1))
        a1, b1 = muladd(w, value, a1), muladd(w, slope, b1)
        w = spread(read(s.sums, at_w + 2))
        a2, b2 = muladd(w, value, a2), muladd(w, slope, b2)
        w = spread(read(s.sums, at_w + 3))
        a3, b3 = muladd(w, value, a3), muladd(w, slope, b3)
    store_weighted(k, a0, b0, s)
    store_weighted(k + 1, a1, b1, s)
    store_weighted(k + 2, a2, b2, s)
    store_weighted(k + 3, a3, b3, s)


@compiled
def weigh_two(k0: int, k1: int, at: int, used: int, channels: int, space: Space, s: Memory) -> None:
    """As :func:`weigh_four`, for two harmonics."""
    a0, a1, b0, b1 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    for m in range(used):
        row = at + read_int(space.channels, channels + m) * s.capacity
        value, slope = load(s.values, row), load(s.slopes, row)
        w = spread(read(s.sums, m * space.n_k + k0))
        a0, b0 = muladd(w, value, a0), muladd(w, slope, b0)
        w = spread(read(s.sums, m * space.n_k + k1))
        a1, b1 = muladd(w, value, a1), muladd(w, slope, b1)
    store_weighted(k0, a0, b0, s)
    store_weighted(k1, a1, b1, s)


@compiled
def store_weighted(k: int, value: Any, slope: Any, s: Memory) -> None:
    """Store both sums of one harmonic."""
    store(s.weighted, k * WIDTH, value)
    store(s.weighted_slopes, k * WIDTH, slope)


@compiled
def angular_gradient(x: Any, y: Any, z: Any, space: Space, s: Memory) -> Any:
    """Return the angular part of the gradient for eight neighbours in the directions x, y, z, and its radial part.

    These are the derivatives of Σ_k weighted(k) Y(k), a polynomial in the unit vector, with respect to x, y and z,
    and Σ_k weighted_slopes(k) Y(k).
    """
    lmax, v, vs = space.lmax, s.weighted, s.weighted_slopes
    gx, gy, gz, radial = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
    # (x + iy)^m and (x + iy)^(m - 1)
    cr, ci, lower, lower_i = spread(1.0), spread(0.0), spread(0.0), spread(0.0)
    for m in range(lmax + 1):
        # sums over l of the Legendre function and of its derivative, weighted for real and imaginary parts
        pr, pi, zr, zi, sr, si = spread(0.0), spread(0.0), spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        last, before, slope, slope_before = first_legendre(m, space), spread(0.0), spread(0.0), spread(0.0)
        for ell in range(m, lmax + 1):
            k = (ell * ell + max(2 * m - 1, 0)) * WIDTH
            vr, wr = load(v, k), load(vs, k)
            pr, zr, sr = muladd(last, vr, pr), muladd(slope, vr, zr), muladd(last, wr, sr)
            if m > 0:
                vi, wi = load(v, k + WIDTH), load(vs, k + WIDTH)
                pi, zi, si = muladd(last, vi, pi), muladd(slope, vi, zi), muladd(last, wi, si)
            slope, slope_before = next_slope(ell, m, z, last, slope, slope_before, space), slope
            last, before = next_legendre(ell, m, z, last, before, space), last
        factor = spread(float(m))
        gx = muladd(factor, pr * lower + pi * lower_i, gx)
        gy = muladd(factor, pi * lower - pr * lower_i, gy)
        gz = muladd(zr, cr, muladd(zi, ci, gz))
        radial = muladd(sr, cr, muladd(si, ci, radial))
        lower, lower_i, cr, ci = cr, ci, cr * x - ci * y, cr * y + ci * x
    return gx, gy, gz, radial


@compiled
def hand_out(i: int, place: int, pairs: Pairs, forces: int, stride: int, step: int, virial: int, s: Memory) -> None:
    """Add the contributions of the gradient to the forces on an atom and its neighbours, and to the virial.

    The force on atom j along c has the index ``stride`` · j + ``step`` · c.
    """
    n, capacity, d, g = read_int(s.counts, place), s.capacity, s.directions, s.gradient
    at, zero = 5 * place * capacity, spread(0.0)
    fx, fy, fz, xx, yy, zz, xy, xz, yz = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for p in range(0, n, WIDTH):
        gx, gy, gz = load(g, p), load(g, capacity + p), load(g, 2 * capacity + p)
        r, k = load(d, at + 3 * capacity + p), at + p
        rx, ry, rz = r * load(d, k), r * load(d, k + capacity), r * load(d, k + 2 * capacity)
        fx, fy, fz = fx + gx, fy + gy, fz + gz
        xx, yy, zz = muladd(rx, gx, xx), muladd(ry, gy, yy), muladd(rz, gz, zz)
        xy, xz, yz = muladd(rx, gy, xy), muladd(rx, gz, xz), muladd(ry, gz, yz)
    add(forces, stride * i, total(fx))
    add(forces, stride * i + step, total(fy))
    add(forces, stride * i + 2 * step, total(fz))
    add(virial, 0, -total(xx))
    add(virial, 1, -total(yy))
    add(virial, 2, -total(zz))
    add(virial, 3, -total(xy))
    add(virial, 4, -total(xz))
    add(virial, 5, -total(yz))
    for p in range(n):
        j = stride * read_int(pairs.owner, read_int(s.neighbour, place * capacity + p))
        add(forces, j, -read(g, p))
        add(forces, j + step, -read(g, capacity + p))
        add(forces, j + 2 * step, -read(g, 2 * capacity + p))


@compiled
def add(address: int, index: int, number: float) -> None:
    """Add to one number of an array."""
    write(address, index, read(address, index) + number)
