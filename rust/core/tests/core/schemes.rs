//! One step of DRI1 and of the schemes of strong order 3/2 against the published formulas, written out path by path.

use super::platen::{
    AT, Coefficients, H, Plain, T0, WIDTH, additive, additive_full, assert_close, coupled, full, increments, many, own,
    scalar, starts,
};
use optsde_core::block::Span;
use optsde_core::error::Result;
use optsde_core::noise::NoiseKind;
use optsde_core::rng::{Address, Tag, sign_at};
use optsde_core::scheme::{Beside, CoupledDri1, GeneralDri1, Step, Stepper, stepper};
use std::sync::Arc;

/// Integrals over time, as wild as increments.
fn integrals(m: usize) -> Vec<f64> {
    (0..m * WIDTH).map(|k| 0.2 * (2.3 * k as f64).cos()).collect()
}

fn stepped(scheme: &dyn Stepper<f64>) -> Result<Vec<f64>> {
    let (mut x, draws) = (starts(scheme.dim()), scheme.draws());
    let (dw, time_integrals) = (increments(draws.increments()), integrals(draws.increments()));
    let mut scratch = vec![f64::NAN; scheme.scratch_rows() * WIDTH];
    let span = Span { n: WIDTH - 1, width: WIDTH };
    let beside =
        Beside { time_integrals: if draws.time_integrals { &time_integrals } else { &[] }, ..Beside::default() };
    scheme.step(&Step { t: T0, h: H, dw: &dw, beside, at: AT, span }, &mut x, &mut scratch)?;
    Ok(x)
}

/// One path of a step: the state, the increments, the integrals, and the signs `Z_k/s`.
struct Path {
    x: Vec<f64>,
    dw: Vec<f64>,
    integrals: Vec<f64>,
    signs: Vec<f64>,
}

/// What a formula gives, path by path.
fn expected(d: usize, m: usize, formula: impl Fn(&Path) -> Vec<f64>) -> Vec<f64> {
    let (x, dw, of_time) = (starts(d), increments(m), integrals(m));
    let mut out = vec![0.0; d * WIDTH];
    let blocks = (m as u64 - 1).div_ceil(128);
    for p in 0..WIDTH {
        let column = |rows: &[f64]| -> Vec<f64> { rows.iter().skip(p).step_by(WIDTH).copied().collect() };
        let address = Address { key: AT.key, tag: Tag::SIGNS, first_path: AT.first_path + p as u64 };
        let signs = (0..m as u64 - 1).map(|k| sign_at(address, AT.cell * blocks * 128 + k)).collect();
        let path = Path { x: column(&x), dw: column(&dw), integrals: column(&of_time), signs };
        for (i, x) in formula(&path).into_iter().enumerate() {
            out[i * WIDTH + p] = x;
        }
    }
    out
}

/// `x + Σ c_k v_k`.
fn sum(x: &[f64], terms: &[(f64, &[f64])]) -> Vec<f64> {
    (0..x.len()).map(|i| x[i] + terms.iter().map(|(c, v)| c * v[i]).sum::<f64>()).collect()
}

/// Column `k` of a factor.
fn column(b: &[f64], k: usize, m: usize) -> Vec<f64> {
    b.iter().skip(k).step_by(m).copied().collect()
}

fn times(b: &[f64], v: &[f64]) -> Vec<f64> {
    b.chunks(v.len()).map(|row| row.iter().zip(v).map(|(b, v)| b * v).sum()).collect()
}

fn dri1(at: Coefficients, path: &Path) -> Vec<f64> {
    let Path { x, dw, signs, .. } = path;
    let (t, h, s, m) = (T0, H, H.sqrt(), dw.len());
    let (k1, b) = at(t, x);
    let n = times(&b, dw);
    let k2 = at(t + h / 2.0, &sum(x, &[(h / 2.0, &k1), ((6.0 - 6f64.sqrt()) / 10.0, &n)])).0;
    let k3 = at(t + h, &sum(x, &[(-h, &k1), (2.0 * h, &k2), ((3.0 + 2.0 * 6f64.sqrt()) / 5.0, &n)])).0;
    let (c, q) = (342.0 / 491.0, 3.0 * (38f64 / 491.0).sqrt());
    let mut out = sum(x, &[(h / 6.0, &k1), (2.0 * h / 3.0, &k2), (h / 6.0, &k3)]);
    for k in 0..m {
        let g1 = column(&b, k, m);
        let at_point = |side: f64| column(&at(t + c * h, &sum(x, &[(c * h, &k1), (side * q * s, &g1)])).1, k, m);
        let (g2, g3) = (at_point(1.0), at_point(-1.0));
        let chi = (dw[k] * dw[k] - h) / 2.0;
        let slope = (491f64 / 38.0).sqrt() / 6.0 * chi / s;
        let even = 491.0 / 1368.0 * dw[k];
        out = sum(&out, &[(193.0 / 684.0 * dw[k], &g1), (even + slope, &g2), (even - slope, &g3)]);
    }
    for l in 0..m {
        let g1 = column(&b, l, m);
        let at_point = |side: f64| column(&at(t + c * h, &sum(x, &[(c * h, &k1), (side * q * s, &g1)])).1, l, m);
        let (g2, g3) = (at_point(1.0), at_point(-1.0));
        let (c1, c2) = (-214.0 / 513.0 * (1105f64 / 991.0).sqrt(), -491.0 / 513.0 * (221f64 / 4955.0).sqrt());
        let e = sum(&vec![0.0; x.len()], &[(s * c1, &g1), (s * c2, &g2), (s * c2, &g3)]);
        let (up, down) = (at(t, &sum(x, &[(1.0, &e)])).1, at(t, &sum(x, &[(-1.0, &e)])).1);
        for k in (0..m).filter(|k| *k != l) {
            let area = if k < l { -h * signs[k] } else { h * signs[l] };
            let slope = -(4955f64 / 221.0).sqrt() / 8.0 * (dw[k] * dw[l] + area) / 2.0 / s;
            let even = 4955.0 / 14144.0 * dw[k];
            let (b, up, down) = (column(&b, k, m), column(&up, k, m), column(&down, k, m));
            out = sum(&out, &[(-4955.0 / 7072.0 * dw[k], &b), (even + slope, &up), (even - slope, &down)]);
        }
    }
    out
}

/// A scheme's step as its paper writes it.
type Formula = fn(Coefficients, &Path) -> Vec<f64>;

#[test]
fn dri1_follows_the_formula() -> Result<()> {
    for (kind, dim, n_wiener, at) in [
        (NoiseKind::Diagonal, 3, 3, own as Coefficients),
        (NoiseKind::DiagonalCoupled, 3, 3, coupled),
        (NoiseKind::Full, 2, 20, many),
        (NoiseKind::Full, 3, 2, full),
        (NoiseKind::Scalar, 3, 1, scalar),
        (NoiseKind::AdditiveDiagonal, 3, 3, additive),
        (NoiseKind::AdditiveFull, 3, 2, additive_full),
    ] {
        let sde = || Arc::new(Plain { dim, n_wiener, kind, at });
        let expected = expected(dim, n_wiener, |path| dri1(at, path));
        assert_close(&stepped(stepper("dri1", sde(), H)?.as_ref())?, &expected);
        // The general scheme and that of coupled deviations take what needs less of them too.
        assert_close(&stepped(&GeneralDri1::new(sde()))?, &expected);
        if kind.is_diagonal() {
            assert_close(&stepped(&CoupledDri1::new(sde()))?, &expected);
        }
    }
    Ok(())
}

fn sra1(at: Coefficients, path: &Path) -> Vec<f64> {
    let Path { x, dw, integrals, .. } = path;
    let ((a, b), later) = (at(T0, x), at(T0 + H, x).1);
    let (now, then) = (times(&b, integrals), times(&later, integrals));
    let a2 = at(T0 + 0.75 * H, &sum(x, &[(0.75 * H, &a), (1.5 / H, &then)])).0;
    let noise = [(1.0, &times(&later, dw)[..]), (1.0 / H, &now), (-1.0 / H, &then)];
    sum(&sum(x, &[(H / 3.0, &a), (2.0 * H / 3.0, &a2)]), &noise)
}

fn sra3(at: Coefficients, path: &Path) -> Vec<f64> {
    let Path { x, dw, integrals, .. } = path;
    let ((a, b), later) = (at(T0, x), at(T0 + H, x).1);
    let (now, then) = (times(&b, integrals), times(&later, integrals));
    let a2 = at(T0 + H, &sum(x, &[(H, &a)])).0;
    let a3 = at(T0 + 0.5 * H, &sum(x, &[(H / 4.0, &a), (H / 4.0, &a2), (1.0 / H, &then), (0.5 / H, &now)])).0;
    let noise = [(1.0, &times(&later, dw)[..]), (1.0 / H, &now), (-1.0 / H, &then)];
    sum(&sum(x, &[(H / 6.0, &a), (H / 6.0, &a2), (2.0 * H / 3.0, &a3)]), &noise)
}

#[test]
fn schemes_for_additive_noise_follow_the_formulas() -> Result<()> {
    for (kind, n_wiener, at) in
        [(NoiseKind::AdditiveDiagonal, 3, additive as Coefficients), (NoiseKind::AdditiveFull, 2, additive_full)]
    {
        let sde = || Arc::new(Plain { dim: 3, n_wiener, kind, at });
        let formulas: [(&str, Formula); 2] = [("sra1", sra1), ("sra3", sra3)];
        for (name, formula) in formulas {
            let expected = expected(3, n_wiener, |path| formula(at, path));
            assert_close(&stepped(stepper(name, sde(), H)?.as_ref())?, &expected);
        }
    }
    Ok(())
}

/// SRIW1 on the columns of one Wiener process; of diagonal noise each coordinate has its own.
fn sriw1(at: Coefficients, path: &Path) -> Vec<f64> {
    let Path { x, dw, integrals, .. } = path;
    let (d, m, h, s) = (x.len(), dw.len(), H, H.sqrt());
    let b = |t: f64, x: &[f64]| -> Vec<f64> { (0..d).map(|i| at(t, x).1[i * m + if m > 1 { i } else { 0 }]).collect() };
    let of = |v: &[f64]| -> Vec<f64> { (0..d).map(|i| v[if m > 1 { i } else { 0 }]).collect() };
    let (w, i10) = (of(dw), of(integrals));
    let (a1, b1) = (at(T0, x).0, b(T0, x));
    let late: Vec<f64> = (0..d).map(|i| b1[i] * i10[i] / h).collect();
    let a2 = at(T0 + 0.75 * h, &sum(x, &[(0.75 * h, &a1), (1.5, &late)])).0;
    let b2 = b(T0 + h / 4.0, &sum(x, &[(h / 4.0, &a1), (s / 2.0, &b1)]));
    let b3 = b(T0 + h, &sum(x, &[(h, &a1), (-s, &b1)]));
    let b4 = b(T0 + h / 4.0, &sum(x, &[(h / 4.0, &a1), (-5.0 * s, &b1), (3.0 * s, &b2), (s / 2.0, &b3)]));
    (0..d)
        .map(|i| {
            let w = w[i];
            let (i11, i111, i10) = ((w * w - h) / 2.0 / s, (w * w * w - 3.0 * h * w) / 6.0 / h, i10[i] / h);
            x[i] + h * (a1[i] / 3.0 + 2.0 * a2[i] / 3.0)
                + b1[i] * (-w - i11 + 2.0 * i10 - 2.0 * i111)
                + b2[i] * (4.0 / 3.0 * w + 4.0 / 3.0 * i11 - 4.0 / 3.0 * i10 + 5.0 / 3.0 * i111)
                + b3[i] * (2.0 / 3.0 * w - i11 / 3.0 - 2.0 / 3.0 * i10 - 2.0 / 3.0 * i111)
                + b4[i] * i111
        })
        .collect()
}

#[test]
fn sriw1_follows_the_formula() -> Result<()> {
    for (kind, n_wiener, at) in [(NoiseKind::Diagonal, 3, own as Coefficients), (NoiseKind::Scalar, 1, scalar)] {
        let sde = Arc::new(Plain { dim: 3, n_wiener, kind, at });
        let expected = expected(3, n_wiener, |path| sriw1(at, path));
        assert_close(&stepped(stepper("sriw1", sde, H)?.as_ref())?, &expected);
    }
    Ok(())
}
