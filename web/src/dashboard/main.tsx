/** Starts the dashboard. */
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import '../styles/base.css';
import '../styles/dashboard.css';
import { DashboardPage } from './dashboard-page.js';

render(<DashboardPage />, document.body);
